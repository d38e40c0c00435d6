//! What a page says when it cannot be shown.

use std::fmt::Display;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use maud::html;

use super::layout::{self, Page};

/// A status and a sentence.
#[derive(Debug)]
pub(in crate::explorer) struct PageError {
    status: StatusCode,
    sentence: String,
}

impl PageError {
    /// The request makes no sense.
    pub(super) fn bad_request(sentence: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            sentence: sentence.into(),
        }
    }

    /// What is asked for does not exist.
    pub(super) fn not_found(sentence: impl Into<String>) -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            sentence: sentence.into(),
        }
    }

    /// Too many pages are being made.
    pub(in crate::explorer) fn busy() -> Self {
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            sentence: "The node is busy; try again in a moment.".to_owned(),
        }
    }

    /// Our own fault. The details are for the log.
    pub(in crate::explorer) fn internal(error: &impl Display) -> Self {
        tracing::error!(%error, "an explorer page failed");
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            sentence: "The node failed to read its data; its log has the details.".to_owned(),
        }
    }
}

/// Failures of the disk become [`PageError::internal`].
pub(super) fn stored<T, E: Display>(result: Result<T, E>) -> Result<T, PageError> {
    result.map_err(|error| PageError::internal(&error))
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let title = self.status.canonical_reason().unwrap_or("Error");
        let body = html! {
            h1 { (title) }
            p { (self.sentence) }
        };
        let page = layout::page(
            &Page {
                title,
                is_live: false,
            },
            &body,
        );
        (self.status, page).into_response()
    }
}

/// For every path that leads nowhere.
pub(in crate::explorer) async fn unknown() -> PageError {
    PageError::not_found(
        "There is no page here; the search above takes a height, a hash or an address.",
    )
}
