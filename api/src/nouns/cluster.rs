//! The cluster: its members, the invitations of new ones, its leader and its level.

use axum::extract::State;
use bursar_domain::{
    self as domain, AuthorityNodeId, JoinTokenId, ObjectRef, authority_node::AuthorityNode, join_token::JoinToken, table::Table,
};
use bursar_wire::{
    Secret,
    cluster::{
        self, AgreedLevel, EditMember, InviteMember, IssuedInvitation, Leadership, Member, MemberRole, RaiseLevel,
        TransferLeadership,
    },
    invitation::Invitation,
    operations::Operation,
    page::{DryRun, Page},
    query::{ListQuery, ReadQuery},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    answer::{self, Answered},
    api::Service,
    authentication::Caller,
    authority::NodeStatus,
    door::{Edit, Manner, Verdict},
    failure::Failure,
    mutation::{Bodiless, Mutation},
    parameters::Id,
    resource::{Field, Reading, Resource, View},
    secrets,
};

/// The routes.
pub(crate) fn routes() -> OpenApiRouter<Service> {
    OpenApiRouter::new()
        .routes(routes!(list_members, invite))
        .routes(routes!(read_member, edit_member, remove_member))
        .routes(routes!(list_invitations))
        .routes(routes!(read_invitation, revoke_invitation))
        .routes(routes!(transfer_leadership))
        .routes(routes!(read_level, raise_level))
}

impl Resource for AuthorityNode {
    type Shown = Member;

    const FIELDS: &'static [Field<Self>] = &[
        Field::number("id", |node| node.id.0.to_string()),
        Field::number("site", |node| node.site.map(|site| site.0.to_string()).unwrap_or_default()),
        Field::flag("present", |node| node.intent.is_present().to_string()),
    ];

    fn table(state: &domain::State) -> &Table<Self> {
        state.authority_nodes()
    }

    fn show(&self, view: &View) -> Self::Shown {
        Member::of(view, self, view.observed().and_then(|status| role(&status, self.id)))
    }
}

impl Resource for JoinToken {
    type Shown = cluster::Invitation;

    const FIELDS: &'static [Field<Self>] =
        &[Field::number("id", |token| token.id.0.to_string()), Field::flag("used", |token| token.used_by.is_some().to_string())];

    fn table(state: &domain::State) -> &Table<Self> {
        state.join_tokens()
    }

    fn show(&self, view: &View) -> Self::Shown {
        cluster::Invitation::of(view, self)
    }
}

/// What a member is to the others, as this node sees it.
pub(crate) fn role(status: &NodeStatus, id: AuthorityNodeId) -> Option<MemberRole> {
    match id {
        id if status.leader == Some(id) => Some(MemberRole::Leader),
        id if status.voters.contains(&id) => Some(MemberRole::Voter),
        id if status.learners.contains(&id) => Some(MemberRole::Learner),
        _ => None,
    }
}

/// List the members, former ones included.
///
/// `filter` knows `id`, `site` (its number) and `present` (`true` or `false`); `sort` goes by `id`.
#[utoipa::path(get, path = "/api/v1/cluster/members", tag = "cluster", operation_id = "list_members", params(ListQuery),
    responses((status = 200, description = "A page of the members.", body = Page<Member>)))]
async fn list_members(reading: Reading<ListQuery>) -> Answered {
    reading.list::<AuthorityNode>().await
}

/// Read a member.
#[utoipa::path(get, path = "/api/v1/cluster/members/{id}", tag = "cluster", operation_id = "read_member",
    params(("id" = u64, Path), ReadQuery),
    responses((status = 200, description = "The member.", body = Member)))]
async fn read_member(Id(id): Id, reading: Reading<ReadQuery>) -> Answered {
    reading.object(AuthorityNodeId(id)).await
}

/// Say where a member is.
#[utoipa::path(patch, path = "/api/v1/cluster/members/{id}", tag = "cluster", operation_id = "edit_member",
    params(("id" = u64, Path)), request_body = EditMember,
    responses((status = 200, description = "The member as it stands now.", body = Member)))]
async fn edit_member(State(service): State<Service>, Id(id): Id, mutation: Mutation<EditMember>) -> Answered {
    let edit = |current: &AuthorityNode| {
        Ok(Edit { command: mutation.body.clone().command(current), rests_on_current: mutation.body.site.is_none() })
    };
    service.edit(mutation.call, AuthorityNodeId(id), edit).await
}

/// Have a member leave.
#[utoipa::path(delete, path = "/api/v1/cluster/members/{id}", tag = "cluster", operation_id = "remove_member",
    params(("id" = u64, Path)),
    responses(
        (status = 200, description = "It is leaving already, by this operation.", body = Operation),
        (status = 202, description = "The operation that carries it.", body = Operation)))]
async fn remove_member(State(service): State<Service>, Id(id): Id, Bodiless(call): Bodiless) -> Answered {
    service.change(call, cluster::remove(AuthorityNodeId(id))).await
}

/// List the invitations of new members, without their join tokens.
///
/// `filter` knows `id` and `used` (`true` or `false`); `sort` goes by `id`.
#[utoipa::path(get, path = "/api/v1/cluster/invitations", tag = "cluster", operation_id = "list_invitations", params(ListQuery),
    responses((status = 200, description = "A page of the invitations.", body = Page<cluster::Invitation>)))]
async fn list_invitations(reading: Reading<ListQuery>) -> Answered {
    reading.list::<JoinToken>().await
}

/// Invite a new member.
///
/// The answer is the only one that ever shows the join token; a repetition is refused with `already_issued`.
#[utoipa::path(post, path = "/api/v1/cluster/members", tag = "cluster", operation_id = "invite_member",
    request_body = InviteMember,
    responses((status = 201, description = "The invitation, with its join token.", body = IssuedInvitation)))]
async fn invite(State(service): State<Service>, mutation: Mutation<InviteMember>) -> Answered {
    let latest = service.authority.latest();
    let present = latest.authority_nodes().iter().filter(|node| node.intent.is_present());
    let addresses = present.filter_map(|node| node.peer_address.as_str().parse().ok()).collect();
    let secret = secrets::mint_invitation_secret(&*service.entropy);
    let command = mutation.body.command(secret.hash(), service.now().max(latest.time()))?;
    let certificate_authority = service.authority_fingerprint;
    let invitation = Invitation { certificate_authority, addresses, secret: secret.expose().to_owned() };
    let Verdict { outcome, manner, state } = service.judge(mutation.call, command).await?;
    match (outcome, manner) {
        (Ok(reply), Manner::Repeated) => Err(Failure::already_issued(reply.object, &state)),
        (Ok(reply), Manner::Decided) => {
            let token = state.join_tokens().get(JoinTokenId(reply.object.number()));
            let token = token.ok_or_else(|| Failure::removed_since(reply.object, &state))?;
            Ok(answer::issued(&state, reply.object, &IssuedInvitation::of(token, Secret::new(invitation.to_string()))))
        }
        (outcome, manner) => service.answer(Verdict { outcome, manner, state }),
    }
}

/// Read an invitation, without its join token.
#[utoipa::path(get, path = "/api/v1/cluster/invitations/{id}", tag = "cluster", operation_id = "read_invitation",
    params(("id" = u64, Path), ReadQuery),
    responses((status = 200, description = "The invitation.", body = cluster::Invitation)))]
async fn read_invitation(Id(id): Id, reading: Reading<ReadQuery>) -> Answered {
    reading.object(JoinTokenId(id)).await
}

/// Take an invitation back that was not used.
#[utoipa::path(delete, path = "/api/v1/cluster/invitations/{id}", tag = "cluster", operation_id = "revoke_invitation",
    params(("id" = u64, Path)),
    responses((status = 204, description = "The invitation was taken back.")))]
async fn revoke_invitation(State(service): State<Service>, Id(id): Id, Bodiless(call): Bodiless) -> Answered {
    service.change(call, cluster::revoke(JoinTokenId(id))).await
}

/// Hand the leadership over.
///
/// It leaves no trace in the history: a dry run tells no events, and a repetition hands over again under any `Idempotency-Key`.
#[utoipa::path(post, path = "/api/v1/cluster/transfer-leadership", tag = "cluster", operation_id = "transfer_leadership",
    request_body = TransferLeadership,
    responses((status = 200, description = "Who leads now.", body = Leadership)))]
async fn transfer_leadership(State(service): State<Service>, caller: Caller, mutation: Mutation<TransferLeadership>) -> Answered {
    let Mutation { call, body } = mutation;
    if call.if_match.is_some() {
        return Err(Failure::malformed("If-Match does not apply: nothing that exists is changed."));
    }
    // Nothing is decided that would judge the token again, so it is judged here.
    let state = service.read_latest_by(None, call.deadline).await?;
    caller.stands(&state, service.now())?;
    let to = body.to.map(AuthorityNodeId);
    if let Some(to) = to.filter(|to| state.authority_nodes().get(*to).is_none()) {
        return Err(Failure::not_found(to.into(), &state));
    }
    if call.dry_run {
        let outcome = domain::Reply::unchanged(ObjectRef::Cluster);
        return Ok(answer::json(&state, &DryRun { events: Vec::new(), outcome: outcome.into(), warnings: Vec::new() }));
    }
    let leader = service.authority.transfer_leadership(to, call.deadline).await?;
    Ok(answer::json(&state, &Leadership { leader: leader.0 }))
}

/// Read the level that the members have agreed on.
#[utoipa::path(get, path = "/api/v1/cluster/level", tag = "cluster", operation_id = "read_level", params(ReadQuery),
    responses((status = 200, description = "The level.", body = AgreedLevel)))]
async fn read_level(reading: Reading<ReadQuery>) -> Answered {
    reading.object(ObjectRef::Cluster).await
}

/// Agree on the next level.
///
/// Every member must support it. A level cannot be lowered again.
#[utoipa::path(put, path = "/api/v1/cluster/level", tag = "cluster", operation_id = "raise_level", request_body = RaiseLevel,
    responses((status = 200, description = "The level that the members have agreed on now.", body = AgreedLevel)))]
async fn raise_level(State(service): State<Service>, mutation: Mutation<RaiseLevel>) -> Answered {
    service.change(mutation.call, mutation.body.command()).await
}
