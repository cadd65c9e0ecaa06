"""A collector of OpenTelemetry's: takes traces and metrics by OTLP, over HTTP and over gRPC, and keeps them."""

import concurrent.futures
import gzip
import http.server
import threading

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics_service
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc as metrics_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace_service
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as trace_grpc

from conftest import wait_for

KINDS = {
    "/v1/traces": (trace_service.ExportTraceServiceRequest, trace_service.ExportTraceServiceResponse),
    "/v1/metrics": (metrics_service.ExportMetricsServiceRequest, metrics_service.ExportMetricsServiceResponse),
}


def value_of(value):
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [value_of(item) for item in value.array_value.values]
    return getattr(value, kind)


def values_of(attributes):
    found = {attribute.key: value_of(attribute.value) for attribute in attributes}
    assert len(found) == len(attributes), f"an attribute twice: {attributes}"
    return found


class Span:
    """A span in Python's words; times in nanoseconds."""

    def __init__(self, span, resource):
        self.trace, self.id, self.parent = span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex()
        self.name, self.kind, self.resource = span.name, span.kind, resource
        self.begin, self.end = span.start_time_unix_nano, span.end_time_unix_nano
        self.attributes = values_of(span.attributes)
        self.events = [(event.name, event.time_unix_nano, values_of(event.attributes)) for event in span.events]
        self.links = [(link.trace_id.hex(), link.span_id.hex()) for link in span.links]
        self.failed = span.status.code == 2
        self.message = span.status.message

    def __repr__(self):
        return f"{self.name} {(self.end - self.begin) / 1e6:.3f} ms {self.attributes}"


class Collector:
    """What has come, whichever way; `headers` are those of the last export."""

    def __init__(self):
        self.lock = threading.Lock()
        self.spans, self.points, self.headers = [], {}, {}

    def take(self, request, headers):
        with self.lock:
            self.headers = headers
            for resource in getattr(request, "resource_spans", []):
                about = values_of(resource.resource.attributes)
                for scope in resource.scope_spans:
                    self.spans += [Span(span, about) for span in scope.spans]
            for resource in getattr(request, "resource_metrics", []):
                for scope in resource.scope_metrics:
                    self.points.update({metric.name: metric for metric in scope.metrics})

    def trace(self, root, where=lambda span: True):
        """The spans of the trace whose first span has this name, once that has come; it is the last to end."""

        def found():
            with self.lock:
                roots = [span for span in self.spans if span.name == root and where(span)]
                return [span for span in self.spans if span.trace == roots[-1].trace] if roots else None

        return Trace(wait_for(found))


class Trace:
    """One trace."""

    def __init__(self, spans):
        self.spans = spans
        assert len({span.id for span in spans}) == len(spans)

    def one(self, name):
        found = self.all(name)
        assert len(found) == 1, f"{name}: {self.spans}"
        return found[0]

    def all(self, name):
        return [span for span in self.spans if span.name == name]

    def below(self, parent):
        """Names of the spans below one, by their beginning."""
        children = sorted((span for span in self.spans if span.parent == parent.id), key=lambda span: span.begin)
        return [span.name for span in children]

    def check(self, root):
        """Every span is below one of the trace and within it."""
        by_id = {span.id: span for span in self.spans}
        for span in self.spans:
            assert span.begin <= span.end, span
            if span is not root:
                parent = by_id[span.parent]
                assert parent.begin <= span.begin and span.end <= parent.end, (span, parent)


class Http(Collector):
    """OTLP as protobuf over HTTP."""

    def __init__(self):
        super().__init__()
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):  # noqa: N802 - the name is the library's
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                assert self.headers["content-type"] == "application/x-protobuf"
                request, response = KINDS[self.path]
                collector.take(request.FromString(body), {name.lower(): value for name, value in self.headers.items()})
                answer = response().SerializeToString()
                self.send_response(200)
                self.send_header("content-type", "application/x-protobuf")
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class Grpc(Collector):
    """OTLP over gRPC."""

    def __init__(self):
        super().__init__()
        collector = self

        class Traces(trace_grpc.TraceServiceServicer):
            def Export(self, request, context):  # noqa: N802 - the name is the library's
                collector.take(request, dict(context.invocation_metadata()))
                return trace_service.ExportTraceServiceResponse()

        class Metrics(metrics_grpc.MetricsServiceServicer):
            def Export(self, request, context):  # noqa: N802 - the name is the library's
                collector.take(request, dict(context.invocation_metadata()))
                return metrics_service.ExportMetricsServiceResponse()

        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(4))
        trace_grpc.add_TraceServiceServicer_to_server(Traces(), self.server)
        metrics_grpc.add_MetricsServiceServicer_to_server(Metrics(), self.server)
        self.url = f"http://127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"
        self.server.start()

    def stop(self):
        self.server.stop(None).wait()
