"""Pages, taken apart."""

from html.parser import HTMLParser

VOID = {"meta", "img", "br", "line", "rect", "path", "circle", "input"}


class Checked(HTMLParser):
    """Collects tags, and fails on one that is not closed in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text, self.headings = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)
        if self.open and self.open[-1] in ("h1", "h2"):
            self.headings.append(data)

    def named(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]
