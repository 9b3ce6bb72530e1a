"""Runs grpcio-tools' gRPC code generator as a protoc plugin, which is how buf wants its generators.

buf sends a serialised CodeGeneratorRequest on standard input and reads a CodeGeneratorResponse from
standard output.
"""

import pathlib
import sys
import tempfile

from google.protobuf import descriptor_pb2
from google.protobuf.compiler import plugin_pb2
from grpc_tools import protoc


def main() -> None:
    request = plugin_pb2.CodeGeneratorRequest.FromString(sys.stdin.buffer.read())
    response = plugin_pb2.CodeGeneratorResponse(
        supported_features=plugin_pb2.CodeGeneratorResponse.FEATURE_PROTO3_OPTIONAL
    )
    with tempfile.TemporaryDirectory() as folder:
        files = descriptor_pb2.FileDescriptorSet(file=request.proto_file)
        descriptor_path = pathlib.Path(folder, "in.binpb")
        descriptor_path.write_bytes(files.SerializeToString())
        code = protoc.main(
            [
                "protoc",
                f"--descriptor_set_in={descriptor_path}",
                f"--grpc_python_out={folder}",
                *request.file_to_generate,
            ]
        )
        if code != 0:
            response.error = "grpc_python failed; see standard error"
        for path in sorted(pathlib.Path(folder).rglob("*_pb2_grpc.py")):
            response.file.add(name=str(path.relative_to(folder)), content=path.read_text("utf-8"))
    sys.stdout.buffer.write(response.SerializeToString())


if __name__ == "__main__":
    main()
