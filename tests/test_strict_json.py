"""JSON that is read strictly."""

import pytest

from oddgan import strict_json
from oddgan.errors import DataError


def test_what_is_no_strict_json_is_refused():
    for text, message in (('{"a": NaN}', "NaN is no number"), ('{"a": {"b": 1, "b": 2}}', "has 'b' twice")):
        with pytest.raises(DataError, match=message):
            strict_json.loads(text)


def test_a_name_that_is_there_twice_is_found_in_one_pass():
    names = ", ".join(f'"{i}": 0' for i in range(100_000))  # each compared with all others: ten thousand million times
    with pytest.raises(DataError, match="has '99999' twice"):
        strict_json.loads(f'{{{names}, "99999": 0}}')
