//! A reader of the event stream.

use axum::{body::BodyDataStream, http::StatusCode, response::Response};
use futures_util::StreamExt;
use serde_json::Value;

/// Reads NDJSON items as they come.
pub struct Reader {
    body: BodyDataStream,
    buffer: Vec<u8>,
}

impl Reader {
    pub fn new(response: Response) -> Self {
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "application/x-ndjson");
        Self { body: response.into_body().into_data_stream(), buffer: Vec::new() }
    }

    /// The next item; none at the end of the stream.
    pub async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Some(serde_json::from_slice(&line).unwrap());
            }
            let chunk = self.body.next().await?.unwrap();
            self.buffer.extend_from_slice(&chunk);
        }
    }

    /// The next event; bookmarks are passed over.
    pub async fn event(&mut self) -> Value {
        loop {
            let item = self.next().await.expect("the stream goes on");
            match item["item"].as_str() {
                Some("event") => return item,
                Some("bookmark") => {}
                _ => panic!("an event was expected, not {item}"),
            }
        }
    }

    /// The next page as it came over: all of its items.
    pub async fn page(&mut self) -> Option<Vec<Value>> {
        assert!(self.buffer.is_empty(), "pages and items are not read by turns");
        let chunk = self.body.next().await?.unwrap();
        assert_eq!(chunk.last(), Some(&b'\n'), "a page holds whole items");
        Some(
            chunk
                .split(|byte| *byte == b'\n')
                .filter(|line| !line.is_empty())
                .map(|line| serde_json::from_slice(line).unwrap())
                .collect(),
        )
    }

    /// Everything up to the end.
    pub async fn rest(&mut self) -> Vec<Value> {
        let mut items = Vec::new();
        while let Some(item) = self.next().await {
            items.push(item);
        }
        items
    }
}
