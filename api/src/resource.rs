//! What all kinds of objects have in common: where one is kept, how it is shown, and how one and many of them are read.
//!
//! A noun says this once, as a [`Resource`]; its handlers are left with a line each.

use std::{ops::Deref, sync::Arc};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, request::Parts},
};
use bursar_domain::{
    Cursor, ObjectRef, State,
    authority_node::AuthorityNode,
    destination::Destination,
    join_token::JoinToken,
    operation::Operation,
    site::Site,
    table::{Row, Table},
    token::Token,
};
use bursar_wire::{
    cluster::AgreedLevel,
    query::{ListQuery, ReadQuery},
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    answer::{self, Answered, Shown, encode},
    api::Service,
    authentication::Caller,
    authority::{Authority, NodeStatus},
    failure::Failure,
    listing::Selection,
    parameters::Parameters,
};

/// Objects of one kind, which have routes of their own.
pub(crate) trait Resource: Row<Id: Into<ObjectRef> + From<u64>> + 'static {
    /// One as it is shown.
    type Shown: Serialize;

    /// The fields that `filter` knows.
    const FIELDS: &'static [Field<Self>];

    /// What `sort=name` goes by; none where objects of the kind have no names.
    const FOLDED_NAME: Option<fn(&Self) -> String> = None;

    /// Where a version of the state keeps them.
    fn table(state: &State) -> &Table<Self>;

    /// Shows one.
    fn show(&self, view: &View) -> Self::Shown;
}

/// A field by which a list can be filtered: its name, and what it says of an object.
pub(crate) type Field<R> = (&'static str, fn(&R) -> String);

/// A version of the state that answers are made of.
pub(crate) struct View {
    state: Arc<State>,
    /// Knows how the nodes stand to one another; nobody knows how they stood where the version is of the past.
    observer: Option<Arc<dyn Authority>>,
}

impl View {
    /// Things as they are.
    pub(crate) fn of_the_present(state: Arc<State>, service: &Service) -> Self {
        Self { state, observer: Some(Arc::clone(&service.authority)) }
    }

    /// Things as they were.
    pub(crate) fn of_the_past(state: Arc<State>) -> Self {
        Self { state, observer: None }
    }

    /// How the nodes stand to one another; none in the past.
    pub(crate) fn observed(&self) -> Option<NodeStatus> {
        self.observer.as_ref().map(|observer| observer.status())
    }

    /// An object as it is shown; none where it does not exist.
    pub(crate) fn show(&self, object: ObjectRef) -> Option<Shown> {
        let body = match object {
            ObjectRef::Cluster => self.cluster().map(|_| encode(&AgreedLevel { level: self.level().0 })),
            ObjectRef::Site(id) => self.show_row::<Site>(id),
            ObjectRef::Destination(id) => self.show_row::<Destination>(id),
            // No route leads to them.
            ObjectRef::Server(_) | ObjectRef::StorePoint(_) | ObjectRef::Alert(_) => None,
            ObjectRef::AuthorityNode(id) => self.show_row::<AuthorityNode>(id),
            ObjectRef::JoinToken(id) => self.show_row::<JoinToken>(id),
            ObjectRef::Operation(id) => self.show_row::<Operation>(id),
            ObjectRef::Token(id) => self.show_row::<Token>(id),
        };
        let changed = Cursor { epoch: self.epoch(), revision: self.changed_at(object)? };
        Some(Shown { body: body?, changed })
    }

    fn show_row<R: Resource>(&self, id: R::Id) -> Option<Vec<u8>> {
        R::table(self).get(id).map(|row| encode(&row.show(self)))
    }
}

impl Deref for View {
    type Target = State;
    fn deref(&self) -> &State {
        &self.state
    }
}

/// A request to read: who asks, and how.
pub(crate) struct Reading<Q> {
    service: Service,
    caller: Caller,
    query: Q,
    headers: HeaderMap,
}

impl<Q: DeserializeOwned> FromRequestParts<Service> for Reading<Q> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, service: &Service) -> Result<Self, Failure> {
        let caller = Caller::from_request_parts(parts, service).await?;
        let Parameters(query) = Parameters::from_request_parts(parts, service).await?;
        Ok(Self { service: service.clone(), caller, query, headers: parts.headers.clone() })
    }
}

impl Reading<ListQuery> {
    /// The page that is asked for.
    pub(crate) async fn list<R: Resource>(self) -> Answered {
        let read = self.query.read();
        let selection = Selection::<R>::of(self.query)?;
        let view = self.service.read(self.caller, &read).await?;
        Ok(answer::json(&view, &selection.page(&view)?))
    }
}

impl Reading<ReadQuery> {
    /// An object.
    pub(crate) async fn object(self, object: impl Into<ObjectRef>) -> Answered {
        let view = self.service.read(self.caller, &self.query).await?;
        answer::object(&view, object.into(), &self.headers)
    }
}
