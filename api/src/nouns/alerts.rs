//! Alerts.

use std::sync::Arc;

use axum::extract::State;
use bursar_domain::{
    self as domain, AlertId, Effect, FieldFault, ObjectRef as DomainRef, Rejection, Reply, alert::Alert, table::Table,
};
use bursar_wire::{
    FieldError,
    alerts::{self, AcknowledgeAlerts, Acknowledged, Acknowledgement, Meant},
    objects::ObjectRef,
    page::{Page, Warning},
    query::{ListQuery, ReadQuery},
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    answer::{self, Answered},
    api::Service,
    door::{Manner, Verdict},
    failure::Failure,
    listing,
    mutation::Mutation,
    parameters::Id,
    resource::{Field, Reading, Resource, View},
};

/// The routes.
pub(crate) fn routes() -> OpenApiRouter<Service> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(read)).routes(routes!(acknowledge))
}

/// What the overview shows.
const OVERVIEW: &str = "open=true";

impl Resource for Alert {
    type Shown = alerts::Alert;

    const FIELDS: &'static [Field<Self>] = &[
        Field::number("id", |alert| alert.id.0.to_string()),
        Field::one_of(
            "kind",
            &["store_point_offline", "server_offline", "destination_offline", "version_conflict", "projection_mismatch"],
            |alert| alert.kind.code().to_owned(),
        ),
        Field::one_of(
            "reason",
            &[
                "read_only",
                "missing",
                "foreign_identity",
                "io_failing",
                "server_silent",
                "silent",
                "all_servers_silent",
                "version_differs",
                "digest_differs",
            ],
            |alert| alert.reason.code().to_owned(),
        ),
        Field::one_of("severity", &["critical", "warning"], |alert| alert.severity.to_string()),
        Field::one_of("condition", &["firing", "resolved"], |alert| {
            alerts::AlertCondition::from(alert.condition).as_str().to_owned()
        }),
        Field::flag("open", |alert| alert.is_open().to_string()),
        Field::flag("acknowledged", |alert| alert.acknowledgement.is_some().to_string()),
        Field::text("subject", |alert| {
            let ObjectRef { kind, id } = alert.subject.into();
            format!("{kind}:{id}")
        }),
        Field::text("text", |alert| alert.text.clone()),
    ];

    fn table(state: &domain::State) -> &Table<Self> {
        state.alerts()
    }

    fn show(&self, view: &View) -> Self::Shown {
        alerts::Alert::of(view, self)
    }
}

/// List alerts: those in the overview, or with a `filter` any that ever were.
///
/// `filter` knows `id`, `kind` (`store_point_offline`, `server_offline`, `destination_offline`, `version_conflict` or
/// `projection_mismatch`), `reason` (`read_only`, `missing`, `foreign_identity`, `io_failing`, `server_silent`, `silent`,
/// `all_servers_silent`, `version_differs` or `digest_differs`), `severity` (`critical` or `warning`), `condition` (`firing` or
/// `resolved`), `open` and `acknowledged` (`true` or `false`), `subject` (for instance `server:3`) and `text`; without one it is
/// `open=true`. `sort` goes by `id`.
#[utoipa::path(get, path = "/api/v1/alerts", tag = "alerts", operation_id = "list_alerts", params(ListQuery),
    responses((status = 200, description = "A page of the alerts.", body = Page<alerts::Alert>)))]
async fn list(reading: Reading<ListQuery>) -> Answered {
    reading.filtered_by_default(OVERVIEW).list::<Alert>().await
}

/// Read an alert.
#[utoipa::path(get, path = "/api/v1/alerts/{id}", tag = "alerts", operation_id = "read_alert",
    params(("id" = u64, Path), ReadQuery),
    responses((status = 200, description = "The alert.", body = alerts::Alert)))]
async fn read(Id(id): Id, reading: Reading<ReadQuery>) -> Answered {
    reading.object(AlertId(id)).await
}

/// Take note of alerts.
///
/// An alert that is over leaves the overview with it. One that fires stays marked there, and asks for attention again when it gets
/// worse, or fires anew after it was over. What somebody has said of an alert stays: another note for it is refused. What was
/// acknowledged without a note takes one later; by whom and when it was acknowledged is then by whom and when that was said. Where
/// no alert meets the condition, nothing is done; what somebody else acknowledges meanwhile is told, and the rest acknowledged.
#[utoipa::path(post, path = "/api/v1/alerts/acknowledge", tag = "alerts", operation_id = "acknowledge_alerts",
    request_body = AcknowledgeAlerts,
    responses((status = 200, description = "The alerts as they stand now.", body = Acknowledged)))]
async fn acknowledge(State(service): State<Service>, mutation: Mutation<AcknowledgeAlerts>) -> Answered {
    let Mutation { call, body } = mutation;
    let meant = body.meant()?;
    let mut ids = match &meant {
        Meant::Ids(ids) => ids.clone(),
        Meant::Filter(filter) => unnoted_alerts(&*service.read_to_change(call.deadline).await?, filter)?,
    };
    // Where no alert is meant any more, it may be a repetition: then the ledger knows what became of it.
    let Verdict { outcome, manner, state } = service.judge(call, body.command(ids.clone())).await?;
    let met_none = matches!(&outcome, Err(Rejection::InvalidField { field, fault: FieldFault::Empty }) if field == "alerts")
        && matches!(meant, Meant::Filter(_));
    match (outcome, manner) {
        (Ok(reply), manner @ (Manner::Decided | Manner::Repeated)) => {
            let first = AlertId(reply.object.number());
            if matches!((&meant, manner), (Meant::Filter(_), Manner::Repeated)) {
                // What meets the condition now is not what met it then.
                ids = noted_with(&state, first);
            }
            if !ids.contains(&first) {
                ids.push(first);
            }
            let view = View::of_the_present(state, &service);
            let alerts: Vec<_> = ids.iter().filter_map(|id| view.alerts().get(*id)).collect();
            let acknowledged_before = noted_before(&view, reply, &alerts);
            let alerts = alerts.into_iter().map(|alert| alert.show(&view)).collect();
            Ok(answer::json(&view, &Acknowledged { alerts, acknowledged_before }))
        }
        (Err(_), Manner::Rehearsed { records, .. }) if met_none => {
            let detail = "No alert meets the condition: there is nothing to acknowledge.".into();
            let warnings = vec![Warning { code: NOTHING_TO_ACKNOWLEDGE.into(), detail }];
            Ok(answer::rehearsed(&state, Reply::unchanged(DomainRef::Cluster), &records, warnings))
        }
        (Err(_), Manner::Decided | Manner::Repeated) if met_none => {
            Ok(answer::json(&state, &Acknowledged { alerts: Vec::new(), acknowledged_before: Vec::new() }))
        }
        (Err(rejection @ Rejection::AlreadyAcknowledged { alert, .. }), _) => {
            let detail = state.alerts().get(alert).and_then(|alert| already_acknowledged(&state, alert));
            let failure = Failure::refused(&rejection, &state);
            Err(detail.into_iter().fold(failure, Failure::detail))
        }
        (outcome, manner) => service.answer(Verdict { outcome, manner, state }),
    }
}

/// What a rehearsal warns of where the condition is met by no alert.
const NOTHING_TO_ACKNOWLEDGE: &str = "nothing_to_acknowledge";

/// The alerts that meet a condition, are open, and nobody has taken note of; all of them where it is empty.
fn unnoted_alerts(state: &domain::State, filter: &str) -> Result<Vec<AlertId>, Failure> {
    let condition = (!filter.is_empty()).then(|| listing::condition::<Alert>(filter)).transpose();
    let condition = condition.map_err(|fault| FieldError::new("/filter", fault.detail))?;
    let meets = |alert: &Alert| condition.as_ref().is_none_or(|(field, filter)| filter.admits(&(field.value)(alert)));
    let is_unnoted = |alert: &Alert| alert.is_open() && alert.acknowledgement.is_none();
    let unnoted = state.alerts().iter().filter(|alert| is_unnoted(alert) && meets(alert));
    Ok(unnoted.map(|alert| alert.id).collect())
}

/// The alerts that were acknowledged in one with this one, as far as that still stands.
fn noted_with(state: &domain::State, alert: AlertId) -> Vec<AlertId> {
    let Some(noted) = state.alerts().get(alert).and_then(|alert| alert.acknowledgement.clone()) else { return Vec::new() };
    state.alerts().iter().filter(|alert| alert.acknowledgement.as_ref() == Some(&noted)).map(|alert| alert.id).collect()
}

/// Of which of the alerts somebody had taken note before the request did: what it has noted it has noted in one, and the reply
/// names one of them.
fn noted_before(state: &domain::State, reply: Reply, alerts: &[&Arc<Alert>]) -> Vec<u64> {
    let noting = state.alerts().get(AlertId(reply.object.number())).and_then(|alert| alert.acknowledgement.as_ref());
    let is_noted_now = |alert: &Alert| reply.effect == Effect::Changed && alert.acknowledgement.as_ref() == noting;
    // One that asks for attention again has no note any more.
    alerts.iter().filter(|alert| alert.acknowledgement.is_some() && !is_noted_now(alert)).map(|alert| alert.id.0).collect()
}

/// By whom and when an alert was acknowledged, in a sentence.
fn already_acknowledged(state: &domain::State, alert: &Alert) -> Option<String> {
    let Acknowledgement { by, at, note } = alerts::Alert::of(state, alert).acknowledgement?;
    let noted = if note.is_empty() { "without a note".to_owned() } else { format!("with the note “{note}”") };
    Some(format!("Alert {} was acknowledged at {at} by {by}, {noted}.", alert.id.0))
}
