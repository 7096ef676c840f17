//! Looking at messages, and sending them again.

use runwarden_kit::access::right;
use runwarden_kit::caller::Caller;
use runwarden_kit::page::{Listing, Page, PageRequest};
use runwarden_kit::{Error, Result, id};
use serde_json::json;

use super::Callback;
use super::manage::Callbacks;
use crate::store::messages::{Message, MessageState, Which};

impl Callbacks {
    /// Lists messages of a callback, newest first.
    ///
    /// # Errors
    /// As [`Callbacks::get`], and [`Callbacks::list`].
    pub async fn messages(
        &self,
        caller: &Caller,
        name: &str,
        state: Option<MessageState>,
        page: &PageRequest,
    ) -> Result<(Callback, Page<Message>)> {
        let (callback, _) = self.authorized::<right::CallbacksRead>(caller, name).await?;
        let listing = Listing::of("messages", Some(callback.tenant.as_str()))
            .filter("callback", &callback.id)
            .filter("state", state.map_or("", MessageState::name));
        let before = listing.start(&page.token, |last| last.parse().ok())?;
        let size = page.size()?;
        let found = self.messages.list(&callback.tenant, &callback.id, state, before, size + 1).await?;
        Ok((callback.into_inner(), listing.cut(found, size, |last| last.number.to_string())))
    }

    /// Reads a message of a callback.
    ///
    /// # Errors
    /// As [`Callbacks::get`].
    pub async fn message(&self, caller: &Caller, name: &str, message: &str) -> Result<(Callback, Message)> {
        let (callback, _) = self.authorized::<right::CallbacksRead>(caller, name).await?;
        let missing = || Error::not_found("message");
        if !id::is_valid("msg", message) {
            return Err(missing());
        }
        let found = self.messages.get(&callback.tenant, &callback.id, message).await?.ok_or_else(missing)?;
        Ok((callback.into_inner(), found))
    }

    /// Sends messages again, each under the id it had. Answers how many.
    ///
    /// # Errors
    /// `CONFLICT` when the callback is disabled; as [`Callbacks::get`].
    pub async fn replay(&self, caller: &Caller, name: &str, which: Which) -> Result<u64> {
        let (callback, _) = self.authorized::<right::CallbacksWrite>(caller, name).await?;
        if callback.disabled.is_some() {
            return Err(Error::conflict("The callback is disabled, so nothing is sent. Enable it first."));
        }
        let details = match &which {
            Which::One(message) if id::is_valid("msg", message) => json!({ "message": message }),
            Which::One(_) => return Err(Error::not_found("message")),
            Which::DeadBetween(from, until) => json!({ "from": from.rfc3339(), "until": until.rfc3339() }),
        };
        // On the record before anything leaves.
        self.recorder.record(self.entry(&callback, "callback.replay", &details)).await?;
        let is_one = matches!(which, Which::One(_));
        let replayed = self.messages.replay(&callback.tenant, &callback.id, which, self.clock.now()).await?;
        if is_one && replayed == 0 {
            return Err(Error::not_found("message"));
        }
        self.bell.notify_one();
        Ok(replayed)
    }
}
