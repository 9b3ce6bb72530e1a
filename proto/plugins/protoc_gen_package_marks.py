"""Makes the generated folders Python packages: an `__init__.py` in each, and `py.typed` for type checkers.

The topmost folder gets neither: `hubgate` is a namespace package, so that the contracts and other
distributions may share the name. That is also why `py.typed` stands one level below it, where PEP 561
wants it for namespace packages.
"""

import pathlib
import sys

from google.protobuf.compiler import plugin_pb2


def packages_of(proto_files: list[str]) -> set[pathlib.PurePosixPath]:
    """Every folder below the topmost one that holds a contract, directly or further down."""
    return {
        folder
        for name in proto_files
        for folder in pathlib.PurePosixPath(name).parents
        if len(folder.parts) >= 2
    }


def main() -> None:
    request = plugin_pb2.CodeGeneratorRequest.FromString(sys.stdin.buffer.read())
    response = plugin_pb2.CodeGeneratorResponse(
        supported_features=plugin_pb2.CodeGeneratorResponse.FEATURE_PROTO3_OPTIONAL
    )
    for folder in sorted(packages_of(list(request.file_to_generate))):
        response.file.add(
            name=f"{folder}/__init__.py", content=f'"""Generated from the contracts in {folder}."""\n'
        )
        if len(folder.parts) == 2:
            response.file.add(name=f"{folder}/py.typed", content="")
    sys.stdout.buffer.write(response.SerializeToString())


if __name__ == "__main__":
    main()
