"""Files of a Hugging Face Hub dataset, from the local cache or downloaded."""

from __future__ import annotations

from pathlib import Path

from o1lab.errors import LabError
from o1lab.evaluate.suites.suite import HubSpec
from o1lab.paths import offline
from o1lab.text import one_line

_PARQUET = "refs/convert/parquet"
"""The branch on which the hub publishes every public dataset as Parquet, one folder per config and split."""


def hub_files(spec: HubSpec, *, fetch: bool = True) -> list[Path]:
    """Return the files of a dataset, in the order of ``spec.files``.

    Args:
        spec: which files of which dataset.
        fetch: whether to download files that are not in the cache; O1LAB_OFFLINE forbids it in any case.

    Raises:
        LabError: the files are not in the cache and cannot be downloaded.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()  # they would overwrite the app's screen
    wanted = list(spec.files) or [f"{spec.config}/{spec.split}/*.parquet"]
    revision = spec.revision or (None if spec.files else _PARQUET)

    def snapshot(local: bool) -> list[Path]:
        root = Path(
            snapshot_download(
                spec.id, repo_type="dataset", revision=revision, allow_patterns=wanted, local_files_only=local
            )
        )
        found = [sorted(root.glob(pattern)) for pattern in wanted]
        return [path for paths in found for path in paths] if all(found) else []

    try:
        if paths := snapshot(local=True):
            return paths
    except Exception as error:  # the hub raises its own and system errors when a file is not in its cache
        missing: Exception | None = error
    else:
        missing = None
    if not fetch or offline():
        why, hint = "downloads were not requested", "Download it: o1lab eval suite NAME --fetch"
        if offline():
            why, hint = "O1LAB_OFFLINE forbids downloads", "Unset O1LAB_OFFLINE."
        raise LabError(f"The dataset {spec.id} is not on this machine, and {why}.", hint, code="offline") from missing
    try:
        paths = snapshot(local=False)
    except Exception as error:  # also httpx errors
        reason = one_line(f": {error}", 160).rstrip(".: ")
        raise LabError(
            f"Could not download the dataset {spec.id} from the hub: {type(error).__name__}{reason}.",
            "Check the network and your access, or name a local file with --items FILE.",
            code="fetch",
        ) from error
    if not paths:
        raise LabError(
            f"The dataset {spec.id} has no file {', '.join(wanted)}.",
            "List its files in the suite, or name a local file with --items FILE.",
            code="fetch",
        )
    return paths
