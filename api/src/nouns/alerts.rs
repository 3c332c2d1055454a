//! Alerts.

use axum::extract::State;
use bursar_domain::{self as domain, AlertId, FieldFault, Rejection, alert::Alert, table::Table};
use bursar_wire::{
    FieldError,
    alerts::{self, AcknowledgeAlerts, Acknowledged, Meant},
    objects::ObjectRef,
    page::Page,
    query::{Filter, ListQuery, ReadQuery},
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
/// `filter` knows `id`, `kind`, `severity` (`critical` or `warning`), `condition` (`firing` or `resolved`), `open` and
/// `acknowledged` (`true` or `false`), `subject` (for instance `server:3`) and `text`; without one it is `open=true`. `sort` goes
/// by `id`.
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
/// worse, or fires anew after it was over.
#[utoipa::path(post, path = "/api/v1/alerts/acknowledge", tag = "alerts", operation_id = "acknowledge_alerts",
    request_body = AcknowledgeAlerts,
    responses((status = 200, description = "The alerts as they stand now.", body = Acknowledged)))]
async fn acknowledge(State(service): State<Service>, mutation: Mutation<AcknowledgeAlerts>) -> Answered {
    let Mutation { call, body } = mutation;
    let meant = body.meant()?;
    let mut ids = match &meant {
        Meant::Ids(ids) => ids.clone(),
        Meant::Filter(filter) => open_alerts(&*service.read_to_change(call.deadline).await?, filter)?,
    };
    // Where no alert is meant any more, it may be a repetition: then the ledger knows what became of it.
    let Verdict { outcome, manner, state } = service.judge(call, body.command(ids.clone())).await?;
    match (outcome, manner) {
        (Ok(reply), Manner::Decided | Manner::Repeated) => {
            let first = AlertId(reply.object.number());
            if !ids.contains(&first) {
                ids.push(first);
            }
            let view = View::of_the_present(state, &service);
            let alerts = ids.iter().filter_map(|id| view.alerts().get(*id)).map(|alert| alert.show(&view)).collect();
            Ok(answer::json(&view, &Acknowledged { alerts }))
        }
        (Err(Rejection::InvalidField { field, fault: FieldFault::Empty }), _)
            if field == "alerts" && matches!(meant, Meant::Filter(_)) =>
        {
            Err(FieldError::new("/filter", "is met by no open alert").into())
        }
        (outcome, manner) => service.answer(Verdict { outcome, manner, state }),
    }
}

/// The open alerts that meet a condition; all of them where it is empty.
fn open_alerts(state: &domain::State, filter: &str) -> Result<Vec<AlertId>, Failure> {
    let at_fault = |fault: FieldError| FieldError::new("/filter", fault.detail);
    let filter = (!filter.is_empty()).then(|| Filter::parse(filter)).transpose().map_err(at_fault)?;
    let filter = filter.map(listing::known_field::<Alert>).transpose().map_err(at_fault)?;
    let meets = |alert: &Alert| filter.as_ref().is_none_or(|(field, filter)| filter.admits(&(field.value)(alert)));
    let open = state.alerts().iter().filter(|alert| alert.is_open() && meets(alert));
    Ok(open.map(|alert| alert.id).collect())
}
