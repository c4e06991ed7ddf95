//! Log lines on standard error, as text or JSON, and (built with `otel`, and when asked to) spans to
//! an OpenTelemetry collector. It decides where they go, never what is said.

use std::io::{self, IsTerminal};

use tracing_subscriber::{Layer, Registry, layer::SubscriberExt, util::SubscriberInitExt};

use crate::{
    config::{LogFormat, Settings},
    error::Result,
};

/// Keeps what is logged flowing; what waits is sent when it is dropped.
#[must_use]
pub(crate) struct Logging {
    #[cfg(feature = "otel")]
    _traces: Option<traces::Traces>,
}

/// Starts logging. `runtime` carries spans to the collector.
pub(crate) fn start(settings: &Settings, runtime: &tokio::runtime::Handle) -> Result<Logging> {
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal() && settings.log_format == LogFormat::Text);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = match settings.log_format {
        LogFormat::Text => lines.with_filter(settings.log_filter()?).boxed(),
        LogFormat::Json => lines.json().with_filter(settings.log_filter()?).boxed(),
    };
    let layers = vec![lines];
    #[cfg(feature = "otel")]
    let (layers, traces) = traces::add(layers, settings, runtime)?;
    #[cfg(not(feature = "otel"))]
    let _ = runtime;
    tracing_subscriber::registry().with(layers).init();
    Ok(Logging {
        #[cfg(feature = "otel")]
        _traces: traces,
    })
}

#[cfg(feature = "otel")]
mod traces {
    //! Spans of requests and commands, in batches, over OTLP/HTTP. A collector that does not answer
    //! costs the spans and nothing else.

    use std::time::Duration;

    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response, hyper::HyperClient};
    use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
    use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
    use tracing_subscriber::{Layer, Registry, filter::Targets};

    use crate::{
        config::Settings,
        error::{RelayError, Result},
    };

    /// How long the collector may take to accept a batch.
    const SEND_TIMEOUT: Duration = Duration::from_secs(5);

    type Layers = Vec<Box<dyn Layer<Registry> + Send + Sync>>;

    /// The exporter of this process.
    pub(super) struct Traces(SdkTracerProvider);

    impl Drop for Traces {
        fn drop(&mut self) {
            if let Err(error) = self.0.shutdown() {
                tracing::debug!(%error, "the last spans were not sent");
            }
        }
    }

    /// Adds the exporter where a collector is named.
    pub(super) fn add(
        mut layers: Layers,
        settings: &Settings,
        runtime: &tokio::runtime::Handle,
    ) -> Result<(Layers, Option<Traces>)> {
        let Some(url) = &settings.otlp else { return Ok((layers, None)) };
        let client = OnRuntime {
            runtime: runtime.clone(),
            client: HyperClient::with_default_connector(SEND_TIMEOUT, None),
        };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_timeout(SEND_TIMEOUT)
            .with_endpoint(format!("{}/v1/traces", url.trim_end_matches('/')))
            .build()
            .map_err(|error| RelayError::Start(format!("no exporter of traces: {error}")))?;
        let resource = Resource::builder()
            .with_service_name("craftec")
            .with_attribute(opentelemetry::KeyValue::new(
                "service.version",
                env!("CARGO_PKG_VERSION"),
            ))
            .build();
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource)
            .build();
        // Ours alone: the exporter's own client must not trace itself.
        let ours = Targets::new().with_target("craftec", tracing::Level::INFO);
        let layer = tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("craftec"))
            .with_filter(ours);
        layers.push(layer.boxed());
        Ok((layers, Some(Traces(provider))))
    }

    /// Sends on the runtime: the exporter calls from a thread of its own, which has none.
    #[derive(Debug)]
    struct OnRuntime {
        runtime: tokio::runtime::Handle,
        client: HyperClient,
    }

    impl HttpClient for OnRuntime {
        // What `async_trait`, which the trait is declared with, makes of `async fn`.
        fn send_bytes<'a, 'b>(
            &'a self,
            request: Request<Bytes>,
        ) -> std::pin::Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'b>>
        where
            'a: 'b,
            Self: 'b,
        {
            let client = self.client.clone();
            let sent = self.runtime.spawn(async move { client.send_bytes(request).await });
            Box::pin(async move { sent.await? })
        }
    }
}
