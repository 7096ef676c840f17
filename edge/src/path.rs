//! Slashes too many. One at the end of a path is as good as none, which is how AWX writes its paths; an empty part in
//! the middle is refused, since it may stand where an id was meant to be, and the right path is named.

use axum::extract::Request;
use http::Uri;
use http::uri::PathAndQuery;

/// The page's own paths: its files are relative to the one that ends with a slash.
const PAGE: &str = "/docs/";
/// How much of a path is repeated to its caller.
const SHOWN: usize = 200;

/// The request without the slash at the end of its path. It is the same request, of the same method: nothing is
/// redirected, so nothing that was sent is lost on the way.
pub fn without_slash_at_end(mut request: Request) -> Request {
    if let Some(uri) = shortened(request.uri()) {
        *request.uri_mut() = uri;
    }
    request
}

fn shortened(uri: &Uri) -> Option<Uri> {
    let path = uri.path();
    let shorter = path.strip_suffix('/').filter(|shorter| !shorter.is_empty() && path != PAGE)?;
    let path_and_query = match uri.query() {
        Some(query) => PathAndQuery::try_from(format!("{shorter}?{query}")),
        None => PathAndQuery::try_from(shorter),
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path_and_query.ok()?);
    Uri::from_parts(parts).ok()
}

/// The path without its empty parts, if it has any.
#[must_use]
pub fn without_empty_parts(path: &str) -> Option<String> {
    // The whole server is meant by `*`, which is not a path.
    if matches!(path, "/" | PAGE) || !path.starts_with('/') {
        return None;
    }
    let parts = path.split('/').filter(|part| !part.is_empty());
    let plain: String = parts.flat_map(|part| ["/", part]).collect();
    (plain != path).then(|| plain.chars().take(SHOWN).collect())
}

#[cfg(test)]
mod tests {
    use super::{shortened, without_empty_parts};

    #[test]
    fn one_slash_at_the_end_is_as_good_as_none() {
        for (given, meant) in [
            ("/api/v1/jobs/", Some("/api/v1/jobs")),
            ("/api/v1/jobs/?state=new", Some("/api/v1/jobs?state=new")),
            ("https://a.example/api/v1/jobs/", Some("https://a.example/api/v1/jobs")),
            ("/api/v1/jobs", None),
            ("/", None),
            ("/docs/", None),
        ] {
            assert_eq!(shortened(&given.parse().unwrap()).map(|uri| uri.to_string()).as_deref(), meant, "{given}");
        }
    }

    #[test]
    fn empty_parts_are_found() {
        assert_eq!(without_empty_parts("//api/v1//jobs").as_deref(), Some("/api/v1/jobs"));
        assert_eq!(without_empty_parts("/api/v1/jobs/").as_deref(), Some("/api/v1/jobs"));
        for whole in ["/api/v1/jobs", "/docs/", "/", "*"] {
            assert_eq!(without_empty_parts(whole), None);
        }
    }
}
