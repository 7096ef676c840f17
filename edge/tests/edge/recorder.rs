//! A gRPC service that gives canned answers, remembers its requests, and is unavailable otherwise.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::BodyExt as _;
use prost::Message;
use runwarden_edge::ports::Port;
use tonic::Status;
use tonic::body::Body;

/// Answers each method, by the last part of its path, always the same.
#[derive(Clone, Default)]
pub(crate) struct Recorder {
    answers: Arc<Mutex<BTreeMap<String, Bytes>>>,
    asked: Arc<Mutex<Vec<(String, Bytes)>>>,
}

impl Recorder {
    /// Sets the answer of a method.
    pub(crate) fn answer(&self, method: &str, message: &impl Message) {
        self.answers.lock().unwrap().insert(method.to_owned(), message.encode_to_vec().into());
    }

    /// What a method was asked last.
    pub(crate) fn asked<M: Message + Default>(&self, method: &str) -> M {
        let asked = self.asked.lock().unwrap();
        let (_, message) = asked.iter().rfind(|(name, _)| name == method).unwrap();
        M::decode(message.clone()).unwrap()
    }

    /// The way to it.
    pub(crate) fn port(&self) -> Port {
        let this = self.clone();
        Port::new(tower::service_fn(move |request: Request<Body>| {
            let this = this.clone();
            async move { this.serve(request).await }
        }))
    }

    async fn serve(&self, request: Request<Body>) -> Result<Response<Body>, Status> {
        let method = request.uri().path().rsplit('/').next().unwrap().to_owned();
        let mut message = request.into_body().collect().await.unwrap().to_bytes();
        // A flag and a length come before a message.
        message.advance(5);
        self.asked.lock().unwrap().push((method.clone(), message));
        let Some(answer) = self.answers.lock().unwrap().get(&method).cloned() else {
            return Err(Status::unavailable("connection refused to 10.0.0.7:7001"));
        };
        let mut framed = BytesMut::new();
        framed.put_u8(0);
        framed.put_u32(u32::try_from(answer.len()).unwrap());
        framed.extend_from_slice(&answer);
        let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), HeaderValue::from_static("0"))]);
        let body = http_body_util::Full::new(framed.freeze()).with_trailers(async { Some(Ok(trailers)) });
        let response = Response::builder().header("content-type", "application/grpc");
        Ok(response.body(Body::new(body.map_err(|never| match never {}))).unwrap())
    }
}
