"""Displays of pictures and table rows."""

import numpy as np
import pytest

import oddgan
from oddgan.errors import DataError, ParameterError
from oddgan.plot import (
    AnomalyMapDisplay,
    ColumnsDisplay,
    EmbeddingDisplay,
    LatentWalkDisplay,
    SamplesDisplay,
    SearchDisplay,
)
from oddgan.report import Shades


def test_picture_reconstruction_residual_and_map(pca, zeros):
    _, X, _ = zeros
    found = pca.explain(X)
    i = int(np.argmax(found.score))
    display = AnomalyMapDisplay.from_estimator(pca, X, i)
    assert display.panels == ("picture", "reconstruction", "residual", "anomaly map")
    np.testing.assert_allclose(display.picture, X[i] / 255)
    np.testing.assert_allclose(display.reconstruction, np.clip(found.reconstruction[i] / 255, 0, 1), atol=1e-6)
    np.testing.assert_allclose(display.residual, np.abs(display.picture - display.reconstruction))
    np.testing.assert_array_equal(display.anomaly_map, found.anomaly_map[i])
    for name in display.panels[:3]:
        image = display.images_[name]
        np.testing.assert_array_equal(image.get_array(), getattr(display, name))
        assert (image.get_cmap().name, image.norm.vmin, image.norm.vmax) == ("gray", 0, 1)
    np.testing.assert_array_equal(display.images_["anomaly map"].get_array(), found.anomaly_map[i])
    assert "anomaly" in display.title
    assert f"{found.p_value[i]:.2g}" in display.figure_.get_suptitle()


def test_maps_have_the_colours_and_the_scale_of_reports(pca, zeros, ax):
    from oddgan.colours import inferno

    _, X, _ = zeros
    found = pca.explain(X)
    i = int(np.flatnonzero(~found.is_anomaly)[0])
    display = AnomalyMapDisplay.from_explanation(X, found, i, ax=ax)
    assert display.shades == Shades.of(found.map_threshold)
    image = display.images_["anomaly map"]
    assert (image.norm.vmin, image.norm.vmax) == (display.shades.low, display.shades.high)
    strongest = image.get_cmap()(1.0)
    np.testing.assert_allclose(strongest, [*(inferno()[255] / 255), 0.85])
    assert image.get_cmap()(0.0)[3] == 0


def test_lines_are_around_the_regions(pca, zeros, ax):
    _, X, _ = zeros
    found = pca.explain(X)
    i = int(np.argmax(found.score))
    display = AnomalyMapDisplay.from_explanation(X, found, i, ax=ax)
    regions = found.regions(i)
    assert len(display.contours) == len(display.lines_) == len(regions) > 0
    left, top, width, height = regions[0].box
    x, y = display.contours[0].T
    assert (x.min(), x.max(), y.min(), y.max()) == (left - 0.5, left + width - 0.5, top - 0.5, top + height - 0.5)
    assert set(display.lines_[0].get_xdata()) == set(x)


def test_only_what_there_is_gets_shown(zeros, ax):
    train, X, _ = zeros
    knn = oddgan.IsolationForest(random_state=0).fit(train)
    assert AnomalyMapDisplay.from_estimator(knn, X, -1, ax=ax).panels == ("picture",)
    with pytest.raises(DataError, match="give the pictures"):
        AnomalyMapDisplay.from_explanation(None, knn.explain(X), ax=ax)
    with pytest.raises(DataError, match="30 rows, from 0 to 29"):
        AnomalyMapDisplay.from_estimator(knn, X, 30)


def test_colour_pictures_and_a_region_of_interest(ax):
    X = np.random.default_rng(0).integers(0, 256, (40, 12, 10, 3), dtype=np.uint8)
    det = oddgan.PCA(random_state=0, roi=(1, 2, 9, 9)).fit(X)
    display = AnomalyMapDisplay.from_estimator(det, X, 0, ax=ax)
    assert display.reconstruction.shape == (12, 10, 3)
    assert display.residual.shape == (12, 10)
    assert not display.reconstruction[0].any()


def test_an_explanation_draws_itself(pca, zeros, table_pca, frame, ax):
    _, X, _ = zeros
    display = pca.explain(X).plot(3, ax=ax)
    np.testing.assert_allclose(display.picture, X[3] / 255)
    assert isinstance(table_pca.explain(frame).plot(2), ColumnsDisplay)


def test_columns_by_share_with_value_and_expectation(table_pca, frame, ax):
    found = table_pca.explain(frame)
    display = ColumnsDisplay.from_estimator(table_pca, frame, 5, ax=ax)
    order = np.argsort(-found.anomaly_map[5], kind="stable")
    assert display.columns == tuple(frame.columns[order])
    np.testing.assert_allclose([bar.get_width() for bar in display.bars_], found.anomaly_map[5][order])
    assert display.shares.sum() == pytest.approx(1)
    at = display.columns.index("b")
    assert display.values[at] == frame["b"].iloc[5]
    assert display.expected[at] == found.reconstruction[5, 1]
    at = display.columns.index("kind")
    assert display.values[at] == frame["kind"].iloc[5]
    assert "row 105" in display.title
    texts = [text.get_text() for text in ax.texts]
    assert any("expected" in text and frame["kind"].iloc[5] in text for text in texts)
    assert ColumnsDisplay.from_explanation(found, 5, ax=ax).values is None


def test_each_kind_of_rows_has_its_display(pca, zeros, table_pca, frame):
    with pytest.raises(DataError, match="ColumnsDisplay"):
        AnomalyMapDisplay.from_estimator(table_pca, frame)
    with pytest.raises(DataError, match="AnomalyMapDisplay"):
        ColumnsDisplay.from_estimator(pca, zeros[1])
    with pytest.raises(ParameterError, match="AnomalyMapDisplay"):
        ColumnsDisplay.from_explanation(pca.explain(zeros[1]))
    with pytest.raises(ParameterError, match="ColumnsDisplay"):
        AnomalyMapDisplay.from_explanation(None, table_pca.explain(frame))
    with pytest.raises(DataError, match="of 30 pictures"):
        AnomalyMapDisplay.from_explanation(zeros[1][:4], pca.explain(zeros[1]))


def test_generated_pictures_in_a_grid(anogan, ax):
    display = SamplesDisplay.from_estimator(anogan, 5, random_state=3, ax=ax)
    np.testing.assert_array_equal(display.samples, anogan.generate(5, random_state=3))
    sheet = display.image_.get_array()
    assert sheet.shape == (17, 26)  # 2 x 3 pictures of 8 x 8 with lines of one pixel between them
    np.testing.assert_allclose(sheet[9:, 9:17], np.clip(display.samples[4] / 255, 0, 1))
    assert (sheet[8] == 1).all()


def test_a_latent_walk_ends_at_what_latents_decode_to(anogan, ax):
    display = LatentWalkDisplay.from_estimator(anogan, steps=3, rows=2, random_state=1, ax=ax)
    assert display.latents.shape == (2, 3, 4)
    assert display.pictures.shape == (2, 3, 8, 8)
    np.testing.assert_allclose(display.latents[:, 1], (display.latents[:, 0] + display.latents[:, 2]) / 2, rtol=1e-5)
    again = anogan.generate(4, random_state=1)  # the ends, in the order in which latents were drawn
    np.testing.assert_allclose(display.pictures[:, [0, 2]].swapaxes(0, 1).reshape(4, 8, 8), again, atol=1e-3)


def test_detectors_that_generate_nothing_are_named(pca, frame):
    with pytest.raises(ParameterError, match="PCA generates nothing"):
        SamplesDisplay.from_estimator(pca)
    vae = oddgan.VAE(updates=2, width=4, random_state=0).fit(frame)
    with pytest.raises(ParameterError, match="VAE was fitted on a table"):
        LatentWalkDisplay.from_estimator(vae)


@pytest.mark.parametrize("steps", [None, (0, 2, 6, 500)])
def test_the_path_of_a_search_ends_at_the_score(anogan, zeros, steps, ax):
    x = zeros[1][25]
    display = SearchDisplay.from_estimator(anogan, x, steps, ax=ax)
    found = anogan.explain(x)
    assert display.losses.shape == (2, 7)  # two starts, steps 0 to 6
    assert np.nanmin(display.losses) == found.terms["paper"][0]
    assert display.steps.tolist() == (list(range(7)) if steps is None else [0, 2, 6])
    at = int(np.argmin(display.losses[display.best]))
    if at in display.steps:
        shown = display.pictures[display.steps.tolist().index(at)]
        np.testing.assert_allclose(shown, found.reconstruction[0], atol=1e-3)
    np.testing.assert_array_equal(display.lines_[display.best].get_ydata(), display.losses[display.best])


def test_a_search_that_moves_the_generator_too(zeros, ax):
    det = oddgan.ADGAN(updates=3, width=4, latent_dim=4, starts=2, steps=3, random_state=0).fit(zeros[0][:60])
    x = zeros[1][25:26]
    before = det.anomaly_score(x)
    display = SearchDisplay.from_estimator(det, x, ax=ax)
    assert display.losses.shape == (2, 4)
    assert display.losses[:, -1].mean() == pytest.approx(det.explain(x).terms["mse"][0])
    assert display.pictures.shape == (4, 8, 8)
    np.testing.assert_array_equal(det.anomaly_score(x), before)


def test_detectors_without_a_search_are_named(pca, zeros, anogan):
    with pytest.raises(ParameterError, match="PCA does not search"):
        SearchDisplay.from_estimator(pca, zeros[1][0])
    with pytest.raises(DataError, match="give one"):
        SearchDisplay.from_estimator(anogan, zeros[1][:3])


def test_principal_components_of_features(anogan, zeros, ax):
    _, X, y = zeros
    groups = {"normal": X[~y], "anomalous": X[y]}
    display = EmbeddingDisplay.from_estimator(anogan, groups, method="pca", ax=ax)
    np.testing.assert_array_equal(display.features, np.concatenate([anogan.features(one) for one in groups.values()]))
    centred = display.features - display.features.mean(0)
    variance = np.linalg.eigvalsh(centred.T.astype(float) @ centred)[::-1]
    np.testing.assert_allclose(display.explained, variance[:2] / variance.sum(), rtol=1e-4)
    np.testing.assert_allclose((display.embedding**2).sum(0), variance[:2], rtol=1e-4)
    np.testing.assert_array_equal(display.points_["anomalous"].get_offsets(), display.embedding[20:])


def test_tsne_takes_at_most_so_many_rows_and_is_repeated(anogan, zeros, ax):
    _, X, y = zeros
    groups = {"normal": X[~y], "anomalous": X[y]}
    one, two = (EmbeddingDisplay.from_estimator(anogan, groups, most=8, ax=ax) for _ in range(2))
    assert np.bincount(one.group).tolist() == [8, 8]
    np.testing.assert_array_equal(one.embedding, two.embedding)
    assert "no unit" in ax.get_xlabel()
    with pytest.raises(ParameterError, match="'tsne' or 'pca'"):
        EmbeddingDisplay.from_estimator(anogan, groups, method="umap")
    with pytest.raises(DataError, match="rows by name"):
        EmbeddingDisplay.from_estimator(anogan, X)
