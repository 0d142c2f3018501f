//! A bare axum handler that returns one file from memory: the upper bound for a server of this kind.

use std::path::PathBuf;

use axum::{
    Router,
    extract::{DefaultBodyLimit, State},
    http::header,
    routing::get,
};
use bytes::Bytes;
use clap::Args;

/// Returns a file's bytes to GET, and to POST after reading its body.
#[derive(Debug, Args)]
pub(crate) struct ServeBytes {
    /// The file, a JPEG.
    file: PathBuf,
    /// Where to listen.
    address: String,
}

impl ServeBytes {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let bytes = Bytes::from(std::fs::read(&self.file)?);
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(async {
            let routes = Router::new()
                .route("/", get(answer).post(read_and_answer))
                .layer(DefaultBodyLimit::disable())
                .with_state(bytes);
            let listener = tokio::net::TcpListener::bind(&self.address).await?;
            Ok(axum::serve(listener, routes).await?)
        })
    }
}

type Answer = ([(header::HeaderName, &'static str); 1], Bytes);

async fn answer(State(bytes): State<Bytes>) -> Answer {
    ([(header::CONTENT_TYPE, "image/jpeg")], bytes)
}

async fn read_and_answer(State(bytes): State<Bytes>, _body: Bytes) -> Answer {
    ([(header::CONTENT_TYPE, "image/jpeg")], bytes)
}
