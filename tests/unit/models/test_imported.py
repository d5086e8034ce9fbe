"""Importing an adapter or a whole model: what is copied, what it is asked with, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("trl", reason="the train extra is not installed")

from o1lab.config import init_lab
from o1lab.errors import LabError, NotFoundError, RefusedError, UsageError
from o1lab.models.imported import find_imported, import_model, imported_models, remove
from o1lab.paths import Lab
from tests.support.fake_hub import READS, FakeHub, Repo
from tests.support.serving_models import make_adapter, make_model


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("import") / "base")


@pytest.fixture(scope="module")
def adapter(base: Path) -> Path:
    return make_adapter(base, base.parent / "adapter", seed=1)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return init_lab(tmp_path / "lab")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with FakeHub() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        yield server


def copied(folder: Path, target: Path) -> Path:
    return Path(shutil.copytree(folder, target))


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_an_adapter_keeps_its_prompt_and_its_template(lab: Lab, base: Path, adapter: Path, tmp_path: Path) -> None:
    run = tmp_path / "their-lab" / "runs" / "7f3a"
    checkpoint = copied(adapter, run / "checkpoints" / "step-100")
    (run / "recipe.yaml").write_text(f"base: {base}\nsystem_prompt: Add.\n")
    (checkpoint / "chat_template.jinja").write_text("{{ messages[-1].content }}")
    (checkpoint / "optimizer.pt").write_bytes(b"x")
    one = import_model(lab, str(checkpoint), name="kims")
    assert (one.name, one.kind, one.base, one.problem) == ("kims", "adapter", str(base), "")
    assert one.prompt.system_prompt == "Add." and one.prompt.chat_template == "{{ messages[-1].content }}"
    assert one.about.source == str(checkpoint) and one.about.made_by == "import"
    assert not (one.folder / "optimizer.pt").exists()
    assert (one.folder / "adapter_model.safetensors").read_bytes() == (
        adapter / "adapter_model.safetensors"
    ).read_bytes()
    assert [path.name for path in lab.models.iterdir()] == ["kims"]  # nothing is left of the copying
    assert remove(one) > 1000 and imported_models(lab) == []


def test_a_whole_model_is_a_base(lab: Lab, base: Path, tmp_path: Path) -> None:
    source = copied(base, tmp_path / "SmolThing")
    (source / "trainer_state.json").write_text("{}")
    (source / "secrets.json").write_text("{}")
    one = import_model(lab, str(source))
    assert (one.name, one.kind, one.base) == ("SmolThing", "full", str(lab.models / "SmolThing"))
    assert not {"trainer_state.json", "secrets.json"} & files(one.folder).keys()
    with pytest.raises(UsageError, match="whole model, which needs no base"):
        import_model(lab, str(source), name="again", base=str(base))
    with pytest.raises(UsageError, match="has a model called SmolThing"):
        import_model(lab, str(source))
    assert [each.name for each in imported_models(lab)] == ["SmolThing"]


def test_links_that_lead_out_of_the_folder_are_left_out(lab: Lab, base: Path, adapter: Path, tmp_path: Path) -> None:
    (tmp_path / "private").write_text("mine")
    source = copied(adapter, tmp_path / "adapter")
    (source / "README.md").unlink(missing_ok=True)
    (source / "LICENSE").symlink_to(tmp_path / "private")
    (source / "README.md").symlink_to("adapter_config.json")
    said: list[str] = []
    one = import_model(lab, str(source), base=str(base), progress=said.append)
    assert "Left out, as links to files outside the folder: LICENSE." in said
    assert (one.folder / "README.md").is_file() and not (one.folder / "LICENSE").exists()
    weights = source / "adapter_model.safetensors"
    weights.rename(tmp_path / "weights")
    weights.symlink_to(tmp_path / "weights")
    with pytest.raises(RefusedError, match=r"no weights.*Links to files outside.*adapter_model\.safetensors") as told:
        import_model(lab, str(source), name="again", base=str(base))
    assert "cp -L" in told.value.hint


def test_the_links_of_the_hubs_cache_are_followed_into_its_blobs_alone(
    lab: Lab, base: Path, adapter: Path, tmp_path: Path
) -> None:
    cached = tmp_path / "models--kim--sums"
    snapshot = cached / "snapshots" / "ab12"
    for folder in (snapshot, cached / "blobs"):
        folder.mkdir(parents=True)
    for number, file in enumerate(path for path in adapter.iterdir() if path.is_file()):
        shutil.copyfile(file, cached / "blobs" / str(number))
        (snapshot / file.name).symlink_to(f"../../blobs/{number}")
    (tmp_path / "private").write_text("mine")
    (snapshot / "LICENSE").symlink_to(tmp_path / "private")
    one = import_model(lab, str(snapshot), name="sums", base=str(base))
    assert files(one.folder).keys() == {path.name for path in adapter.iterdir()} | {"o1lab-model.json"}


def test_the_base_of_an_adapter_may_be_given(lab: Lab, base: Path, adapter: Path, tmp_path: Path) -> None:
    source = copied(adapter, tmp_path / "adapter")
    settings = json.loads((source / "adapter_config.json").read_text())
    (source / "adapter_config.json").write_text(json.dumps(settings | {"base_model_name_or_path": "/gone/base"}))
    with pytest.raises(NotFoundError, match="The base of the adapter is not there") as told:
        import_model(lab, str(source))
    assert "--base" in told.value.hint
    said: list[str] = []
    assert import_model(lab, str(source), base=str(base), progress=said.append).base == str(base)
    assert f"The adapter names the base /gone/base; it is used with {base}." in said
    (source / "adapter_config.json").write_text(json.dumps(settings | {"base_model_name_or_path": None}))
    with pytest.raises(RefusedError, match="does not name its base"):
        import_model(lab, str(source), name="another")


def test_an_adapter_of_another_base_is_refused(lab: Lab, adapter: Path, tmp_path: Path) -> None:
    other = make_model(tmp_path / "other", hidden=64)
    with pytest.raises(RefusedError, match=r"does not fit its base: model\.layers\S+ differs") as told:
        import_model(lab, str(adapter), base=str(other))
    assert "--base" in told.value.hint and list(lab.models.glob("*")) == [] and list(lab.models.glob(".*")) == []


@pytest.mark.parametrize(
    "case",
    [
        ("adapter", "adapter_config.json", "", r"adapter \(adapter_model.safetensors\), but no adapter_config"),
        ("adapter", "adapter_model.safetensors", "adapter_model.bin", "pickled"),
        ("adapter", "adapter_model.safetensors", "", "no weights in safetensors"),
        ("base", "model.safetensors", "pytorch_model.bin", "pickled"),
        ("base", "tokenizer.json", "", r"no tokenizer\.json"),
        ("base", "config.json", "", r"neither adapter_config\.json nor config\.json"),
        ("base", "config.json", "model.gguf", "GGUF"),
    ],
)
def test_a_folder_that_is_not_a_model_is_refused(
    case: tuple[str, str, str, str], lab: Lab, base: Path, adapter: Path, tmp_path: Path
) -> None:
    kind, without, extra, message = case
    source = copied(adapter if kind == "adapter" else base, tmp_path / "source")
    (source / without).unlink()
    if extra:
        (source / extra).write_bytes(b"x")
    with pytest.raises(RefusedError, match=message) as told:
        import_model(lab, str(source))
    assert told.value.code == "model" and told.value.hint
    assert not lab.models.exists() or not any(lab.models.iterdir())


def test_an_unknown_architecture_and_damaged_weights_are_explained(lab: Lab, base: Path, tmp_path: Path) -> None:
    source = copied(base, tmp_path / "source")
    weights = (source / "model.safetensors").read_bytes()
    (source / "model.safetensors").write_bytes(weights[:2000])
    with pytest.raises(RefusedError, match=r"model\.safetensors is incomplete or damaged"):
        import_model(lab, str(source))
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps(config | {"model_type": "unheard", "architectures": ["Unheard"]}))
    with pytest.raises(LabError, match="does not know the architecture"):
        import_model(lab, str(source))
    assert not any(lab.models.iterdir())


def test_names_and_sources_that_cannot_be(lab: Lab, adapter: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be the name"):
        import_model(lab, str(adapter), name="../evil")
    with pytest.raises(NotFoundError, match="no folder"):
        import_model(lab, str(tmp_path / "nowhere"), name="a")
    with pytest.raises(NotFoundError, match="no folder nowhere"):
        import_model(lab, "nowhere")
    (tmp_path / "file.gguf").write_bytes(b"x")
    with pytest.raises(RefusedError, match="is a file"):
        import_model(lab, str(tmp_path / "file.gguf"))
    with pytest.raises(UsageError, match="no revisions"):
        import_model(lab, str(adapter), revision="main")
    assert find_imported(lab, "../lab") is None


def test_what_a_person_put_there_is_read_and_what_is_damaged_has_a_problem(lab: Lab, base: Path, adapter: Path) -> None:
    copied(base, lab.models / "by-hand")
    copied(adapter, lab.models / "adapter")
    (lab.models / "adapter" / "o1lab-model.json").write_text("{")
    (lab.models / "empty").mkdir()
    found = {one.name: (one.kind, one.problem) for one in imported_models(lab)}
    assert found == {
        "adapter": ("adapter", ""),
        "by-hand": ("full", ""),
        "empty": ("full", "it is not a model: it has neither config.json nor an adapter"),
    }


def test_a_model_of_the_hub_is_downloaded_without_what_it_does_not_need(
    hub: FakeHub, lab: Lab, base: Path, adapter: Path
) -> None:
    hub.repos["kim/sums"] = Repo(files(adapter) | {"training_args.bin": b"x", "step-1/adapter_model.safetensors": b"x"})
    one = import_model(lab, "kim/sums", base=str(base))
    assert (one.name, one.about.source, one.about.revision) == ("sums", "kim/sums", hub.repos["kim/sums"].commit)
    assert files(one.folder)["adapter_model.safetensors"] == files(adapter)["adapter_model.safetensors"]
    assert sorted(path.name for path in one.folder.iterdir()) == [
        "README.md", "adapter_config.json", "adapter_model.safetensors", "o1lab-model.json",
    ]  # fmt: skip
    assert not any("training_args" in call or "step-1" in call for call in hub.calls)


def test_errors_of_the_hub_are_explained(
    hub: FakeHub, lab: Lab, base: Path, adapter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.repos["kim/secret"] = Repo(files(adapter), private=True)
    with pytest.raises(LabError, match="kim/secret cannot be read") as told:
        import_model(lab, "kim/secret")
    assert "HF_TOKEN" in told.value.hint
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(LabError, match="does not accept the token"):
        import_model(lab, "kim/secret")
    monkeypatch.setenv("HF_TOKEN", READS)
    with pytest.raises(NotFoundError, match="no such revision"):
        import_model(lab, "kim/secret", revision="gone")
    with pytest.raises(NotFoundError, match="no such model"):
        import_model(lab, "kim/nothing")
    assert import_model(lab, "kim/secret", base=str(base)).name == "secret"
    hub.repos["kim/pickled"] = Repo({"config.json": b"{}", "pytorch_model.bin": b"x"})
    with pytest.raises(RefusedError, match="pickled"):
        import_model(lab, "kim/pickled")
    assert not any("resolve" in call and "pickled" in call for call in hub.calls)
    monkeypatch.setenv("O1LAB_OFFLINE", "1")
    with pytest.raises(LabError, match="O1LAB_OFFLINE is set"):
        import_model(lab, "kim/sums")


def test_a_missing_network_is_one_sentence(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeHub() as gone:
        monkeypatch.setenv("HF_ENDPOINT", gone.address)
    monkeypatch.setattr("time.sleep", lambda _: None)  # the hub's library waits before it tries again
    with pytest.raises(LabError, match=f"the hub at {gone.address} cannot be reached") as told:
        import_model(lab, "kim/sums")
    assert told.value.code == "network"
