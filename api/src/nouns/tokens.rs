//! Tokens: administrators' bearer credentials, the first of them for the setup secret.

use axum::{
    extract::{Request, State},
    http::header,
};
use bursar_domain::{self as domain, Actor, Command, ObjectRef, Submission, TokenId, table::Table, token::Token};
use bursar_wire::{
    header::IDEMPOTENCY_KEY,
    page::Page,
    query::{ListQuery, PresentQuery, ReadQuery},
    tokens::{self, IssueToken, IssuedToken, WhoAmI},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    answer::{self, Answered},
    api::Service,
    authentication::Caller,
    door::{Manner, Rehearsal, Verdict},
    failure::Failure,
    mutation::{Bodiless, Call, Mutation},
    parameters::{Id, Parameters},
    resource::{Field, Reading, Resource, View},
    secrets,
};

/// The routes behind the guard.
pub(crate) fn routes() -> OpenApiRouter<Service> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(read, revoke)).routes(routes!(whoami))
}

/// The route that takes the setup secret in place of a token.
pub(crate) fn open_routes() -> OpenApiRouter<Service> {
    OpenApiRouter::new().routes(routes!(issue))
}

impl Resource for Token {
    type Shown = tokens::Token;

    const FIELDS: &'static [Field<Self>] =
        &[Field::number("id", |token| token.id.0.to_string()), Field::text("name", |token| token.name.to_string())];

    const FOLDED_NAME: Option<fn(&Self) -> String> = Some(|token| token.name.folded());

    fn table(state: &domain::State) -> &Table<Self> {
        state.tokens()
    }

    fn show(&self, view: &View) -> Self::Shown {
        tokens::Token::of(view, self)
    }
}

/// List tokens, without their secrets.
///
/// `filter` knows `id` and `name`; `sort` goes by `id` or `name`.
#[utoipa::path(get, path = "/api/v1/tokens", tag = "tokens", operation_id = "list_tokens", params(ListQuery),
    responses((status = 200, description = "A page of the tokens.", body = Page<tokens::Token>)))]
async fn list(reading: Reading<ListQuery>) -> Answered {
    reading.list::<Token>().await
}

/// Issue a token.
///
/// The first administrator has none to show: without `Authorization`, the request must carry the setup secret, which is taken
/// once. The answer shows the new secret. A repetition is refused with `already_issued`, but for that of the first
/// administrator's claim under a key of their own: an answer that was lost must not lock everybody out.
#[utoipa::path(post, path = "/api/v1/tokens", tag = "tokens", operation_id = "issue_token", request_body = IssueToken,
    responses((status = 201, description = "The token, with its secret.", body = IssuedToken)))]
async fn issue(State(service): State<Service>, request: Request) -> Answered {
    let actor = if request.headers().contains_key(header::AUTHORIZATION) {
        service.authenticate(request.headers()).await?.actor()
    } else {
        Actor::Founder
    };
    let key_is_given = request.headers().contains_key(IDEMPOTENCY_KEY);
    let Mutation { call, body } = Mutation::<IssueToken>::receive(request, &service, actor).await?;
    if actor == Actor::Founder && body.setup_secret.is_none() {
        return Err(Failure::unauthenticated("The request shows neither a token nor the setup secret."));
    }
    // A lost answer to the only claim there is would lock everybody out. Whoever repeats the claim under its key shows all that
    // the secret is derived from, and may see it again.
    let claim = body.setup_secret.as_ref().filter(|_| actor == Actor::Founder && key_is_given);
    let secret = claim.map_or_else(
        || secrets::mint_token(&*service.entropy),
        |setup_secret| secrets::claimed_token(setup_secret, &call.request),
    );
    let hash = secret.hash();
    let command = body.command(hash)?;
    if actor == Actor::Founder {
        service.try_claim(&call, &command).await?;
    }
    let Verdict { outcome, manner, state } = service.judge(call, command).await?;
    match (outcome, manner) {
        (Ok(reply), manner @ (Manner::Decided | Manner::Repeated)) => {
            let token = state.tokens().get(TokenId(reply.object.number()));
            if matches!(manner, Manner::Repeated) && token.is_none_or(|token| token.secret != hash) {
                return Err(Failure::already_issued(reply.object, &state));
            }
            let token = token.ok_or_else(|| Failure::removed_since(reply.object, &state))?;
            Ok(answer::issued(&state, reply.object, &IssuedToken::of(&state, token, secret)))
        }
        (outcome, manner) => service.answer(Verdict { outcome, manner, state }),
    }
}

/// Read a token, without its secret.
#[utoipa::path(get, path = "/api/v1/tokens/{id}", tag = "tokens", operation_id = "read_token",
    params(("id" = u64, Path), ReadQuery),
    responses((status = 200, description = "The token.", body = tokens::Token)))]
async fn read(Id(id): Id, reading: Reading<ReadQuery>) -> Answered {
    reading.object(TokenId(id)).await
}

/// Revoke a token, at once and everywhere.
///
/// Requests and streams under way with it end as well.
#[utoipa::path(delete, path = "/api/v1/tokens/{id}", tag = "tokens", operation_id = "revoke_token", params(("id" = u64, Path)),
    responses((status = 204, description = "The token was revoked.")))]
async fn revoke(State(service): State<Service>, Id(id): Id, Bodiless(call): Bodiless) -> Answered {
    service.change(call, tokens::revoke(TokenId(id))).await
}

/// Tell whose token the request shows.
#[utoipa::path(get, path = "/api/v1/whoami", tag = "tokens", operation_id = "whoami", params(PresentQuery),
    responses((status = 200, description = "Who asks.", body = WhoAmI)))]
async fn whoami(State(service): State<Service>, caller: Caller, Parameters(query): Parameters<PresentQuery>) -> Answered {
    let state = service.read_present(caller, &query).await?;
    let object = ObjectRef::Token(caller.token);
    let token = state.tokens().get(caller.token).ok_or_else(|| Failure::not_found(object, &state))?;
    Ok(answer::json(&state, &WhoAmI { actor: caller.actor().into(), token: tokens::Token::of(&state, token) }))
}

impl Service {
    /// Answers whatever refuses a claim without proposing anything: whoever has no credential must not be able to fill the log.
    async fn try_claim(&self, call: &Call, command: &Command) -> Result<(), Failure> {
        let Call { actor, request, fingerprint, deadline, .. } = call.clone();
        let submission = Submission { actor, request, fingerprint, expected: None, planned_on: None, command: command.clone() };
        let Rehearsal { outcome, state, .. } = self.rehearse(submission, deadline).await?;
        outcome.map(drop).map_err(|rejection| Failure::refused(&rejection, &state))
    }
}
