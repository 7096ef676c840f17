//! `CallbackService`.

use runwarden_engines::idempotency::Repeat;
use runwarden_kit::Error;
use runwarden_kit::clock::Moment;
use runwarden_kit::page::PageRequest;
use runwarden_kit::rpc::caller;
use runwarden_proto::hook::v1::callback_service_server::CallbackService;
use runwarden_proto::hook::v1::{
    self as wire, CreateCallbackRequest, CreateCallbackResponse, DeleteCallbackRequest, DeleteCallbackResponse,
    GetCallbackRequest, GetCallbackResponse, GetMessageRequest, GetMessageResponse, ListCallbacksRequest,
    ListCallbacksResponse, ListMessagesRequest, ListMessagesResponse, ReplayMessagesRequest, ReplayMessagesResponse,
    RetireCallbackKeyRequest, RetireCallbackKeyResponse, RotateCallbackKeyRequest, RotateCallbackKeyResponse,
    UpdateCallbackRequest, UpdateCallbackResponse,
};
use tonic::{Request, Response, Status};

use crate::callback::Callback;
use crate::callback::event::Event;
use crate::callback::keys::KeyKind;
use crate::callback::manage::{Callbacks, Changes, NewCallback};
use crate::store::messages::{Message, MessageState, Which};

/// Serves callbacks.
#[derive(Clone)]
pub struct CallbackRpc {
    pub(super) callbacks: Callbacks,
}

#[tonic::async_trait]
impl CallbackService for CallbackRpc {
    async fn create_callback(
        &self,
        request: Request<CreateCallbackRequest>,
    ) -> Result<Response<CreateCallbackResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let (key, repeat) = (kind(request.key_kind()), Repeat::of(&request));
        let CreateCallbackRequest {
            name,
            project,
            description,
            url,
            events,
            templates,
            hooks,
            on_request,
            key_kind: _,
        } = request;
        let new = NewCallback { name, project, description, url, events, templates, hooks, on_request, key };
        let made = self.callbacks.create(&caller, new, &repeat).await?;
        Ok(Response::new(CreateCallbackResponse {
            callback: Some(made.callback.into()),
            key: made.key.unwrap_or_default(),
        }))
    }

    async fn get_callback(
        &self,
        request: Request<GetCallbackRequest>,
    ) -> Result<Response<GetCallbackResponse>, Status> {
        let (callback, failing_since) = self.callbacks.get(&*caller(&request)?, &request.get_ref().name).await?;
        let callback = wire::Callback { failing_since: failing_since.map(Moment::to_proto), ..callback.into() };
        Ok(Response::new(GetCallbackResponse { callback: Some(callback) }))
    }

    async fn list_callbacks(
        &self,
        request: Request<ListCallbacksRequest>,
    ) -> Result<Response<ListCallbacksResponse>, Status> {
        let caller = caller(&request)?;
        let ListCallbacksRequest { page_size, page_token } = request.into_inner();
        let found = self.callbacks.list(&caller, &PageRequest { size: page_size, token: page_token }).await?;
        let callbacks = found.items.into_iter().map(Into::into).collect();
        Ok(Response::new(ListCallbacksResponse { callbacks, next_page_token: found.next }))
    }

    async fn update_callback(
        &self,
        request: Request<UpdateCallbackRequest>,
    ) -> Result<Response<UpdateCallbackResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let changes = Changes {
            expected_revision: request.expected_revision,
            description: request.description,
            url: request.url,
            events: request.events.map(|list| list.names),
            templates: request.templates.map(|list| list.names),
            hooks: request.hooks.map(|list| list.names),
            on_request: request.on_request,
            disabled: request.disabled,
        };
        let callback = self.callbacks.update(&caller, &request.name, changes).await?;
        Ok(Response::new(UpdateCallbackResponse { callback: Some(callback.into()) }))
    }

    async fn delete_callback(
        &self,
        request: Request<DeleteCallbackRequest>,
    ) -> Result<Response<DeleteCallbackResponse>, Status> {
        self.callbacks.delete(&*caller(&request)?, &request.get_ref().name).await?;
        Ok(Response::new(DeleteCallbackResponse {}))
    }

    async fn rotate_callback_key(
        &self,
        request: Request<RotateCallbackKeyRequest>,
    ) -> Result<Response<RotateCallbackKeyResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let (kind, repeat) = (kind(request.key_kind()), Repeat::of(&request));
        let made = self.callbacks.rotate_key(&caller, &request.name, kind, &repeat).await?;
        Ok(Response::new(RotateCallbackKeyResponse {
            callback: Some(made.callback.into()),
            key: made.key.unwrap_or_default(),
        }))
    }

    async fn retire_callback_key(
        &self,
        request: Request<RetireCallbackKeyRequest>,
    ) -> Result<Response<RetireCallbackKeyResponse>, Status> {
        let caller = caller(&request)?;
        let RetireCallbackKeyRequest { name, key_id } = request.into_inner();
        let callback = self.callbacks.retire_key(&caller, &name, &key_id).await?;
        Ok(Response::new(RetireCallbackKeyResponse { callback: Some(callback.into()) }))
    }

    async fn list_messages(
        &self,
        request: Request<ListMessagesRequest>,
    ) -> Result<Response<ListMessagesResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let state = match request.state() {
            wire::MessageState::Unspecified => None,
            wire::MessageState::Waiting => Some(MessageState::Waiting),
            wire::MessageState::Delivered => Some(MessageState::Delivered),
            wire::MessageState::Dead => Some(MessageState::Dead),
        };
        let page = PageRequest { size: request.page_size, token: request.page_token };
        let (callback, found) = self.callbacks.messages(&caller, &request.callback, state, &page).await?;
        let messages = found.items.into_iter().map(|message| told(&callback, message)).collect();
        Ok(Response::new(ListMessagesResponse { messages, next_page_token: found.next }))
    }

    async fn get_message(&self, request: Request<GetMessageRequest>) -> Result<Response<GetMessageResponse>, Status> {
        let caller = caller(&request)?;
        let GetMessageRequest { callback, id } = request.into_inner();
        let (callback, message) = self.callbacks.message(&caller, &callback, &id).await?;
        let body_json = message.body.clone();
        let message = wire::Message { body_json, ..told(&callback, message) };
        Ok(Response::new(GetMessageResponse { message: Some(message) }))
    }

    async fn replay_messages(
        &self,
        request: Request<ReplayMessagesRequest>,
    ) -> Result<Response<ReplayMessagesResponse>, Status> {
        let caller = caller(&request)?;
        let ReplayMessagesRequest { callback, id, from, until } = request.into_inner();
        let moment = |time: Option<_>| time.as_ref().and_then(Moment::from_proto);
        let which = match (id.is_empty(), moment(from), moment(until)) {
            (false, None, None) => Which::One(id),
            (true, Some(from), Some(until)) if from < until => Which::DeadBetween(from, until),
            _ => {
                return Err(Error::invalid("/from", "must be a time before `until`, or else a message is named").into());
            }
        };
        let replayed = self.callbacks.replay(&caller, &callback, which).await?;
        Ok(Response::new(ReplayMessagesResponse { replayed: i64::try_from(replayed).unwrap_or(i64::MAX) }))
    }
}

fn kind(kind: wire::KeyKind) -> KeyKind {
    match kind {
        wire::KeyKind::Unspecified | wire::KeyKind::Symmetric => KeyKind::Symmetric,
        wire::KeyKind::Ed25519 => KeyKind::Ed25519,
    }
}

/// A message without what it says.
fn told(callback: &Callback, message: Message) -> wire::Message {
    let (state, due_at) = match message.state {
        MessageState::Waiting => (wire::MessageState::Waiting, Some(message.due_at)),
        MessageState::Delivered => (wire::MessageState::Delivered, None),
        MessageState::Dead => (wire::MessageState::Dead, None),
    };
    wire::Message {
        id: message.id,
        callback: callback.name.clone(),
        job: message.job,
        event: message.event,
        state: state.into(),
        attempts: i32::try_from(message.attempts).unwrap_or(i32::MAX),
        created_at: Some(message.created_at.to_proto()),
        due_at: due_at.map(Moment::to_proto),
        tried_at: message.tried_at.map(Moment::to_proto),
        status: message.status.into(),
        problem: message.problem,
        body_json: String::new(),
    }
}

impl From<Callback> for wire::Callback {
    fn from(callback: Callback) -> Self {
        let key = |key: crate::callback::Key| wire::CallbackKey {
            id: key.id,
            public_key: key.public.unwrap_or_default(),
            created_at: Some(key.created_at.to_proto()),
        };
        Self {
            name: callback.name,
            tenant: callback.tenant.into(),
            project: callback.project,
            description: callback.description,
            url: callback.url,
            events: callback.events.into_iter().map(Event::name).map(str::to_owned).collect(),
            templates: callback.templates,
            hooks: callback.hooks,
            on_request: callback.on_request,
            keys: callback.keys.into_iter().map(key).collect(),
            disabled_why: callback.disabled.map(|disabled| disabled.why.name().to_owned()).unwrap_or_default(),
            disabled_since: callback.disabled.map(|disabled| disabled.since.to_proto()),
            failing_since: None,
            created_at: Some(callback.created_at.to_proto()),
            updated_at: Some(callback.updated_at.to_proto()),
            revision: callback.revision,
        }
    }
}
