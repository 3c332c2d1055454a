//! Lets alerts follow what a decision has changed.
//!
//! Causes go before what they cover: a destination before its servers, a server before its store points.

use crate::{
    draft::Draft,
    ids::{AlertId, DestinationId, ObjectRef, ServerId, StorePointId},
    state::State,
    store_point,
};

use super::{Covered, Event, Explained, Kind, Raised, Standing, standing, standing::text};

/// A server is another one than before, or how it is.
pub(crate) fn server_changed(draft: &mut Draft<'_>, server: ServerId) {
    if let Some(destination) = draft.state().servers().get(server).map(|row| row.destination) {
        server_of_changed(draft, destination, server);
    }
}

/// The same of a server of that destination, which may have left no row behind.
pub(crate) fn server_of_changed(draft: &mut Draft<'_>, destination: DestinationId, server: ServerId) {
    follow(draft, &[(Kind::DestinationOffline, destination.into())]);
    let all = draft.state().servers().iter().filter(|row| row.destination == destination);
    let mut causes: Vec<_> = all.map(|row| (Kind::ServerOffline, ObjectRef::from(row.id))).collect();
    causes.extend([Kind::VersionConflict, Kind::ProjectionMismatch].map(|kind| (kind, server.into())));
    follow(draft, &causes);
    let causes: Vec<_> =
        store_point::of_server(draft.state(), server).map(|row| (Kind::StorePointOffline, ObjectRef::from(row.id))).collect();
    follow(draft, &causes);
}

/// A store point is another one than before, or how it is.
pub(crate) fn store_point_changed(draft: &mut Draft<'_>, store_point: StorePointId) {
    follow(draft, &[(Kind::StorePointOffline, store_point.into())]);
}

/// The authority's nodes, or what they run, are others than before.
pub(crate) fn authority_changed(draft: &mut Draft<'_>) {
    let causes: Vec<_> =
        draft.state().servers().iter().map(|server| (Kind::VersionConflict, ObjectRef::from(server.id))).collect();
    follow(draft, &causes);
}

/// What becomes of several alerts.
#[derive(Default)]
struct Changes {
    raised: Vec<Raised>,
    resolved: Vec<AlertId>,
    covered: Vec<Covered>,
    worsened: Vec<AlertId>,
    explained: Vec<Explained>,
}

/// Brings the alerts of these kinds and subjects into line with the state.
fn follow(draft: &mut Draft<'_>, causes: &[(Kind, ObjectRef)]) {
    let state = draft.state();
    let mut changes = Changes::default();
    let mut next = state.next().alert;
    for (kind, subject) in causes {
        changes.add(state, *kind, *subject, &mut next);
    }
    let Changes { raised, resolved, covered, worsened, explained } = changes;
    let events = [
        (!raised.is_empty()).then_some(Event::Raised { alerts: raised }),
        (!resolved.is_empty()).then_some(Event::Resolved { alerts: resolved }),
        (!covered.is_empty()).then_some(Event::Covered { alerts: covered }),
        (!worsened.is_empty()).then_some(Event::Worsened { alerts: worsened }),
        (!explained.is_empty()).then_some(Event::Explained { alerts: explained }),
    ];
    for event in events.into_iter().flatten() {
        draft.emit(event.into());
    }
}

impl Changes {
    /// What becomes of one alert. `next` is the number that the next new one gets.
    fn add(&mut self, state: &State, kind: Kind, subject: ObjectRef, next: &mut u64) {
        let open = state.alerts().find(&(kind, subject));
        let firing = open.filter(|alert| alert.is_firing());
        match (standing(state, kind, subject), firing) {
            (Standing::Quiet, None) | (Standing::Unsettled, _) => {}
            (Standing::Quiet, Some(alert)) => self.resolved.push(alert.id),
            (Standing::Fires { reason, extent, inhibited_by }, Some(alert)) => {
                if alert.inhibited_by != inhibited_by {
                    self.covered.push(Covered { alert: alert.id, by: inhibited_by });
                }
                // What is covered gets no worse: it is only known less of.
                if inhibited_by.is_none() && alert.extent < extent {
                    self.worsened.push(alert.id);
                }
                if alert.reason != reason {
                    self.explained.push(Explained { alert: alert.id, reason });
                }
            }
            (Standing::Fires { reason, extent, inhibited_by }, None) => {
                let alert = open.map_or_else(
                    || {
                        let alert = AlertId(*next);
                        *next += 1;
                        alert
                    },
                    |open| open.id,
                );
                let (severity, text) = (kind.severity(), text(state, kind, subject));
                self.raised.push(Raised { alert, kind, severity, subject, text, reason, extent, inhibited_by });
            }
        }
    }
}
