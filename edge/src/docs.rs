//! The OpenAPI document and the page to read and try it, both served without the internet.

use axum::extract::{Extension, Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use runwarden_kit::Error;
use serde_json::Value;
use utoipa::OpenApi as _;
use utoipa::openapi::OpenApi;
use utoipa::openapi::tag::TagBuilder;
use utoipa_axum::routes;

use crate::app::App;
use crate::declared::Routes;
use crate::extract::oauth::OAuthError;
use crate::extract::query::{NoParams, Params};
use crate::problem::{FieldProblem, Problem, ProblemBody, Result};
use crate::route_table::{Lasts, Listener, Table};

mod complete;

pub use complete::{finish, of_listener};

/// Where the document is.
pub const PATH: &str = "/api/v1/openapi.json";

/// What the page may do: load its own files and call this very address, nothing else.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; \
                           connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Runwarden",
        description = "The only door between the outside world and a company's Ansible automation. Obtain a token with \
            `POST /api/v1/auth/token`, submit a job with `POST /api/v1/jobs`, follow it with \
            `GET /api/v1/jobs/{id}/events`. Every error is problem+json (RFC 9457) with a stable `code`; every answer \
            carries `X-Request-Id`, the caller's own if it sent 1 to 128 letters, digits, dots, underscores or hyphens.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    servers((url = "/", description = "This server")),
    components(schemas(ProblemBody, FieldProblem, OAuthError))
)]
struct Base;

/// The document without its paths, with these sections: their tags and what they are about.
#[must_use]
pub fn base<'a>(sections: impl Iterator<Item = (&'a str, &'a str)>) -> OpenApi {
    let mut document = Base::openapi();
    document.info.version = env!("CARGO_PKG_VERSION").into();
    let tag = |(name, about)| TagBuilder::new().name(name).description(Some(about)).build();
    document.tags = Some(sections.map(tag).collect());
    document
}

/// The document as a listener serves it.
#[derive(Clone)]
pub struct Served(Bytes);

/// The document, itself part of the document, and the page that shows it.
#[must_use]
pub fn routes() -> Routes {
    Routes::new()
        .open(Lasts::NoSeat, routes!(document))
        .page("/", get(async || Redirect::temporary("/docs/")))
        .page("/docs", get(async || Redirect::permanent("/docs/")))
        .page("/docs/", get(async || page("index.html")))
        .page("/docs/{*file}", get(async |State(_): State<App>, Path(file): Path<String>| page(&file)))
}

/// Read this document
///
/// OpenAPI 3.1, with the paths of the listener that was asked.
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "docs",
    responses((status = 200, description = "The document.", body = Object)))]
async fn document(Params(NoParams): Params<NoParams>, Extension(Served(document)): Extension<Served>) -> Response {
    let mut response = document.into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// What a listener's document answers with.
pub fn served(document: &Value, table: &Table, listener: Listener) -> Extension<Served> {
    let mut text = serde_json::to_string(&of_listener(document, table, listener)).unwrap_or_default();
    text.push('\n');
    Extension(Served(Bytes::from(text)))
}

/// Our own files of the page: name, media type, content.
const OWN: &[(&str, &str, &str)] = &[
    ("index.html", "text/html; charset=utf-8", include_str!("docs/page/index.html")),
    ("logo.svg", "image/svg+xml", include_str!("docs/page/logo.svg")),
    ("runwarden.css", "text/css; charset=utf-8", include_str!("docs/page/runwarden.css")),
    ("runwarden.js", "text/javascript; charset=utf-8", include_str!("docs/page/runwarden.js")),
];
/// The files of the library that the page is made with; its own start page and settings are not served.
const LIBRARY: &[&str] = &["swagger-ui.css", "swagger-ui-bundle.js"];

fn page(file: &str) -> Result<Response> {
    let (mut response, kind) = match OWN.iter().find(|(name, ..)| *name == file) {
        Some((_, kind, content)) => (content.into_response(), HeaderValue::from_static(kind)),
        None => library(file)?,
    };
    let headers: &mut HeaderMap = response.headers_mut();
    headers.insert(CONTENT_TYPE, kind);
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(PAGE_POLICY));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}

fn library(file: &str) -> Result<(Response, HeaderValue)> {
    if !LIBRARY.contains(&file) {
        return Err(Problem::no_such_path());
    }
    let found = utoipa_swagger_ui::serve(file, utoipa_swagger_ui::Config::from(PATH).into())
        .map_err(|error| Problem::from(Error::internal(anyhow::anyhow!("the page: {error}"))))?
        .ok_or_else(Problem::no_such_path)?;
    let kind = HeaderValue::from_str(&found.content_type).map_err(Error::internal)?;
    let mut response = found.bytes.into_owned().into_response();
    if found.gzpipped {
        response.headers_mut().insert(http::header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Ok((response, kind))
}

#[cfg(test)]
mod tests {
    use super::page;
    use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
    use http_body_util::BodyExt as _;

    #[tokio::test]
    async fn the_page_loads_nothing_from_elsewhere() {
        let files = super::OWN.iter().map(|(name, ..)| *name).chain(super::LIBRARY.iter().copied());
        for file in files {
            let answer = page(file).unwrap();
            assert!(!answer.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap().contains("unsafe"), "{file}");
            assert!(answer.headers().contains_key(CONTENT_TYPE), "{file}");
            let text = answer.into_body().collect().await.unwrap().to_bytes();
            let text = String::from_utf8_lossy(&text);
            if file == "index.html" {
                assert!(!text.contains("//"), "{text}");
                assert!(!text.contains("<style") && !text.contains("<script>"), "an inline block would be blocked");
                assert!(text.contains("<title>Runwarden API</title>") && !text.contains("wagger UI"), "{text}");
                for (name, ..) in super::OWN.iter().filter(|(name, ..)| *name != "index.html") {
                    assert!(text.contains(&format!("=\"{name}\"")), "{name} is used");
                }
            }
            if file == "runwarden.js" {
                assert!(text.contains(super::PATH), "{text}");
            }
        }
        assert!(page("../Cargo.toml").is_err());
        for absent in ["nothing", "swagger-initializer.js", "oauth2-redirect.html", ""] {
            assert!(page(absent).is_err(), "{absent}");
        }
    }
}
