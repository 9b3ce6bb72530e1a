"""Where wire types begin and end: servicers, conversion, authentication, the gRPC server."""
