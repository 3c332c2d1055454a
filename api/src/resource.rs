//! What all kinds of objects have in common: where one is kept, how it is shown, and how one and many of them are read.
//!
//! A noun says this once, as a [`Resource`]; its handlers are left with a line each.

use std::{ops::Deref, sync::Arc};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, request::Parts},
};
use bursar_domain::{
    Cursor, ObjectRef, ServerId, State,
    alert::Alert,
    authority_node::AuthorityNode,
    destination::Destination,
    join_token::JoinToken,
    operation::Operation,
    server::Server,
    site::Site,
    store_point::StorePoint,
    table::{Row, Table},
    token::Token,
};
use bursar_wire::{
    FieldError,
    cluster::AgreedLevel,
    query::{Filter, ListQuery, ReadQuery},
    servers::{Looks, Observed},
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::Instant;

use crate::{
    answer::{self, Answered, Shown, encode},
    api::{OBSERVATION_PATIENCE, Service},
    authentication::Caller,
    authority::{Authority, NodeStatus},
    failure::Failure,
    fault::abridged,
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

    /// Whether a list has it where the filter does not ask for former ones, with [`PRESENT`] as its field.
    fn is_current(&self) -> bool {
        true
    }

    /// Where a version of the state keeps them.
    fn table(state: &State) -> &Table<Self>;

    /// Shows one.
    fn show(&self, view: &View) -> Self::Shown;
}

/// The field that says whether an object still is, or has left its row behind.
pub(crate) const PRESENT: &str = "present";

/// A field by which a list can be filtered.
pub(crate) struct Field<R> {
    /// What it is called.
    pub(crate) name: &'static str,
    /// What it says of an object.
    pub(crate) value: fn(&R) -> String,
    /// Which values it can have, where they are not just texts.
    values: Values,
}

/// Which values a field can have.
#[derive(Clone, Copy)]
enum Values {
    Texts,
    Numbers,
    Words(&'static [&'static str]),
}

impl<R> Field<R> {
    /// One with any text.
    pub(crate) const fn text(name: &'static str, value: fn(&R) -> String) -> Self {
        Self { name, value, values: Values::Texts }
    }

    /// One with whole numbers; what has none has an empty text.
    pub(crate) const fn number(name: &'static str, value: fn(&R) -> String) -> Self {
        Self { name, value, values: Values::Numbers }
    }

    /// One with these words, and no other.
    pub(crate) const fn one_of(name: &'static str, words: &'static [&'static str], value: fn(&R) -> String) -> Self {
        Self { name, value, values: Values::Words(words) }
    }

    /// One that is true or false.
    pub(crate) const fn flag(name: &'static str, value: fn(&R) -> String) -> Self {
        Self::one_of(name, &["true", "false"], value)
    }

    /// A condition on it that something may meet; none where only those who look for something know its values.
    pub(crate) fn example(&self) -> Option<String> {
        match self.values {
            Values::Words([first, ..]) => Some(format!("{}={first}", self.name)),
            Values::Words([]) | Values::Texts | Values::Numbers => None,
        }
    }

    /// Whether anything can ever meet the condition: else somebody has misspelt it, and an empty list would deceive them.
    pub(crate) fn takes(&self, filter: &Filter) -> Result<(), FieldError> {
        let reason = match self.values {
            Values::Texts => return Ok(()),
            Values::Numbers if filter.value().bytes().all(|byte| byte.is_ascii_digit()) => return Ok(()),
            Values::Words(words) if words.iter().any(|word| filter.admits(word)) => return Ok(()),
            Values::Numbers => format!("knows {} by number alone, not as {}", self.name, abridged(filter.value())),
            Values::Words(words) => {
                format!("knows no {} {}; it knows {}", self.name, abridged(filter.value()), words.join(", "))
            }
        };
        Err(FieldError::new("?filter", reason))
    }
}

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
            ObjectRef::Server(id) => self.show_row::<Server>(id),
            ObjectRef::StorePoint(id) => self.show_row::<StorePoint>(id),
            ObjectRef::Alert(id) => self.show_row::<Alert>(id),
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
    /// The same, with a filter where none is asked for.
    pub(crate) fn filtered_by_default(mut self, filter: &str) -> Self {
        self.query.filter.get_or_insert_with(|| filter.to_owned());
        self
    }

    /// The page that is asked for.
    pub(crate) async fn list<R: Resource>(self) -> Answered {
        if self.query.observed.is_some() {
            let fault = FieldError::new("?observed", "is known to the lists of servers and of store points alone");
            return Err(Failure::malformed_part(fault));
        }
        let read = self.query.read();
        let selection = Selection::<R>::of(self.query)?;
        let view = self.service.read(self.caller, &read).await?;
        Ok(answer::json(&view, &selection.page(&view, |row| row.show(&view))?))
    }

    /// The page that is asked for, each object with what the leader observes where that is asked for too, or why it is not known.
    pub(crate) async fn list_observed<R: Resource, S: Serialize>(
        self,
        show: impl Fn(&View, &R, Result<&Observed, &str>) -> S,
    ) -> Answered {
        let (read, is_asked) = (self.query.read(), self.query.observed.unwrap_or_default());
        let selection = Selection::<R>::of(self.query)?;
        let view = self.service.read(self.caller, &read).await?;
        let observed = if is_asked { observed(&self.service, self.caller, &read).await? } else { Err(UNASKED.to_owned()) };
        let observed = observed.as_ref().map_err(String::as_str);
        Ok(answer::json(&view, &selection.page(&view, |row| show(&view, row, observed))?))
    }
}

/// Why a list has nothing of what is observed.
const UNASKED: &str = "it was not asked for; observed=true asks for it";

impl Reading<ReadQuery> {
    /// An object.
    pub(crate) async fn object(self, object: impl Into<ObjectRef>) -> Answered {
        let view = self.service.read(self.caller, &self.query).await?;
        answer::object(&view, object.into(), &self.headers)
    }

    /// An object with what the leader observes of it, or why that is not known. What is observed changes beside the entity tag,
    /// so nobody is told that they have it already.
    pub(crate) async fn observed<R: Resource, S: Serialize>(
        self,
        id: R::Id,
        show: impl FnOnce(&View, &R, Result<&Observed, &str>) -> S,
    ) -> Answered {
        let object: ObjectRef = id.into();
        let view = self.service.read(self.caller, &self.query).await?;
        let observed = observed(&self.service, self.caller, &self.query).await?;
        let not_found = || Failure::not_found(object, &view);
        let revision = view.changed_at(object).ok_or_else(not_found)?;
        let row = R::table(&view).get(id).ok_or_else(not_found)?;
        let body = show(&view, row, observed.as_ref().map_err(String::as_str));
        let changed = Cursor { epoch: view.epoch(), revision };
        Ok(answer::whole(&view, Shown { body: encode(&body), changed }))
    }

    /// The version of the state that is asked for, and what the leader was told of the ports between a server and others, or why
    /// that is not known.
    pub(crate) async fn with_looks(self, server: ServerId) -> Result<(View, Result<Looks, String>), Failure> {
        let view = self.service.read(self.caller, &self.query).await?;
        let asking = self.service.fleet.looks(server, self.caller.deadline.min(Instant::now() + OBSERVATION_PATIENCE));
        let looks = self.service.observed(&self.query, asking).await?;
        Ok((view, looks))
    }

    /// The version of the state that is asked for.
    pub(crate) async fn view(self) -> Result<View, Failure> {
        self.service.read(self.caller, &self.query).await
    }
}

/// What the leader observes of all storage servers at the time of a reading, or why that is not known.
async fn observed(service: &Service, caller: Caller, query: &ReadQuery) -> Result<Result<Observed, String>, Failure> {
    let asking = service.fleet.observed(caller.deadline.min(Instant::now() + OBSERVATION_PATIENCE));
    service.observed(query, asking).await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the document says of a list is what the list takes, word for word.
    fn tells_its_fields<R: Resource>(path: &str) {
        let document = serde_json::to_value(crate::openapi()).expect("the document is JSON");
        let description = document["paths"][path]["get"]["description"].as_str().unwrap_or_default();
        for Field { name, values, .. } in R::FIELDS {
            let words = if let Values::Words(words) = values { *words } else { &[] };
            for word in words.iter().chain([name]) {
                assert!(description.contains(&format!("`{word}`")), "{path} takes {word} unsaid: {description}");
            }
        }
    }

    #[test]
    fn every_list_says_by_what_it_is_filtered() {
        tells_its_fields::<Site>("/api/v1/sites");
        tells_its_fields::<Destination>("/api/v1/destinations");
        tells_its_fields::<Server>("/api/v1/servers");
        tells_its_fields::<StorePoint>("/api/v1/store-points");
        tells_its_fields::<Alert>("/api/v1/alerts");
        tells_its_fields::<AuthorityNode>("/api/v1/cluster/members");
        tells_its_fields::<JoinToken>("/api/v1/cluster/invitations");
        tells_its_fields::<Operation>("/api/v1/operations");
        tells_its_fields::<Token>("/api/v1/tokens");
    }
}
