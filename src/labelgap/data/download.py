"""Getting the official files, with the addresses and checksums that torchvision keeps."""

from pathlib import Path

from labelgap.core.disk import FULL, PERMISSION, QUOTA, READ_ONLY, not_the_disk, trouble
from labelgap.core.errors import DataError
from labelgap.core.installing import command_for


def download(name: str, folder: Path) -> None:
    """Put the official files of a built-in set into `folder`; files already whole are kept.

    torchvision verifies each file's MD5 sum. Raises `DataError` without torchvision and without
    a network.
    """
    try:
        from torchvision import datasets
        from torchvision.datasets.utils import download_url
    except ImportError as error:
        raise DataError(
            "Downloading needs torchvision, which is not installed.",
            f"{command_for('torchvision')} brings it; or put the files there yourself.",
        ) from error
    files: list[tuple[list[str], str, str]]  # addresses, file name, MD5
    if name in ("cifar10", "cifar100"):
        cifar = datasets.CIFAR10 if name == "cifar10" else datasets.CIFAR100
        files = [([cifar.url], cifar.filename, cifar.tgz_md5)]
    elif name == "svhn":
        files = [
            ([url], file, md5)
            for url, file, md5 in (datasets.SVHN.split_list[s] for s in ("train", "test"))
        ]
    else:
        fashion = datasets.FashionMNIST
        files = [
            ([f"{mirror.rstrip('/')}/{file}" for mirror in fashion.mirrors], file, md5)
            for file, md5 in fashion.resources
        ]
    for addresses, file, md5 in files:
        failures = []
        for address in addresses:
            try:
                download_url(address, str(folder), file, md5)
                break
            except (OSError, RuntimeError) as error:
                if trouble(error) in (FULL, QUOTA, READ_ONLY, PERMISSION):  # and not the network
                    not_the_disk(error, folder / file, "written")
                failures.append(f"{address}: {error}")
        else:
            raise DataError(
                f"{file} could not be downloaded to {folder} ({'; '.join(failures)}).",
                "Check the network, or put the file there yourself.",
            )
