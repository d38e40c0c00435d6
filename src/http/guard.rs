//! Which `Host` and `Origin` headers are answered.
//!
//! A web page anywhere can make a browser send requests to a port of the user's machine. With DNS rebinding its own name
//! even resolves to 127.0.0.1, and the browser takes the answers for the page's own. Such a request carries the page's
//! name in `Host`, so names that nobody configured are refused. An address in `Host` cannot be rebound and is allowed.

use std::net::IpAddr;

use axum::http::header::{HOST, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName};

/// Names under which a server answers, besides `localhost` and every IP address.
#[derive(Debug, Clone, Default)]
pub struct HostPolicy {
    names: Vec<String>,
}

/// Why a request was turned away.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No `Host`, several, or not `name[:port]`.
    #[error("the Host header is missing or malformed")]
    BadHost,
    /// A name that is not this server's.
    #[error(
        "this server does not answer to the name '{0}'; use its address, or allow the name in its configuration"
    )]
    ForeignHost(String),
    /// A page of another site.
    #[error("requests from pages of another site are refused")]
    ForeignOrigin,
}

impl HostPolicy {
    /// Allows `names` (without port, case does not matter) beside `localhost` and addresses.
    pub fn new(names: impl IntoIterator<Item = String>) -> Self {
        let names = names.into_iter().map(|name| name.to_ascii_lowercase());
        Self {
            names: names.collect(),
        }
    }

    /// Whether a request with these headers may be answered.
    ///
    /// # Errors
    /// [`Refusal`]; the answer to all of them is 403.
    pub fn check(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let host = single(headers, &HOST)?.ok_or(Refusal::BadHost)?;
        let authority: Authority = host.parse().map_err(|_| Refusal::BadHost)?;
        if host.contains('@') {
            return Err(Refusal::BadHost);
        }
        if !self.is_ours(authority.host()) {
            return Err(Refusal::ForeignHost(
                authority.host().chars().take(64).collect(),
            ));
        }
        match single(headers, &ORIGIN).map_err(|_| Refusal::ForeignOrigin)? {
            Some(origin) if !is_same_origin(origin, host) => Err(Refusal::ForeignOrigin),
            Some(_) | None => Ok(()),
        }
    }

    fn is_ours(&self, host: &str) -> bool {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let name = host.to_ascii_lowercase();
        bare.parse::<IpAddr>().is_ok()
            || name == "localhost"
            || name.ends_with(".localhost")
            || self.names.contains(&name)
    }
}

/// The header, if it is there; an error if it is there twice or is not text.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    match (value.to_str(), values.next()) {
        (Ok(text), None) => Ok(Some(text)),
        (Ok(_) | Err(_), _) => Err(Refusal::BadHost),
    }
}

/// `null` (a sandboxed page or a file) is nobody's origin.
fn is_same_origin(origin: &str, host: &str) -> bool {
    origin
        .split_once("://")
        .is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn check(host: &[&str], origin: Option<&str>) -> Result<(), Refusal> {
        let mut headers = HeaderMap::new();
        for host in host {
            headers.append(
                HOST,
                HeaderValue::from_str(host).expect("test headers are text"),
            );
        }
        if let Some(origin) = origin {
            headers.append(
                ORIGIN,
                HeaderValue::from_str(origin).expect("test headers are text"),
            );
        }
        HostPolicy::new(["Node".to_owned()]).check(&headers)
    }

    #[test]
    fn addresses_localhost_and_configured_names_are_answered() {
        for host in [
            "127.0.0.1:7668",
            "localhost",
            "LOCALHOST:1",
            "[::1]:7668",
            "10.0.0.7:80",
            "node:7668",
            "a.localhost",
        ] {
            assert_eq!(check(&[host], None), Ok(()), "{host}");
        }
    }

    #[test]
    fn other_names_are_refused() {
        for host in [
            "evil.example",
            "evil.example:7668",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "node.evil",
        ] {
            assert!(
                matches!(check(&[host], None), Err(Refusal::ForeignHost(_))),
                "{host}"
            );
        }
        for hosts in [
            &[][..],
            &[""],
            &["localhost", "localhost"],
            &["a@localhost"],
            &["local host"],
        ] {
            assert_eq!(check(hosts, None), Err(Refusal::BadHost), "{hosts:?}");
        }
    }

    #[test]
    fn only_the_own_origin_is_answered() {
        assert_eq!(
            check(&["127.0.0.1:7668"], Some("http://127.0.0.1:7668")),
            Ok(())
        );
        for origin in [
            "null",
            "",
            "http://evil.example",
            "http://127.0.0.1:7669",
            "http://127.0.0.1",
            "127.0.0.1:7668",
        ] {
            assert_eq!(
                check(&["127.0.0.1:7668"], Some(origin)),
                Err(Refusal::ForeignOrigin),
                "{origin}"
            );
        }
    }
}
