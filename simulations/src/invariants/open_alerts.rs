//! An alert that fired is in the list of those that are open until it is both over and acknowledged, and then it is not.
//!
//! What should be open is folded from the journal alone, by rules of its own; what is, operators read over the API.

use std::collections::{BTreeMap, BTreeSet};

use bursar_domain::{Event, Record, Revision, alert};

use super::{Broken, Journals, broken};
use crate::overview::{AlertsPage, Overview, Shown};

const NAME: &str = "alerts-stay-open";

/// What the journal tells of alerts, and what operators were shown that it does not tell yet.
#[derive(Debug, Default)]
pub struct OpenAlerts {
    /// How many records were folded.
    folded: usize,
    alerts: BTreeMap<u64, Alert>,
    pending: Vec<AlertsPage>,
    /// The newest revision of which operators were shown the whole list.
    reached: Revision,
}

/// An alert as the journal tells of it.
#[derive(Debug, Default)]
struct Alert {
    fires: bool,
    is_acknowledged: bool,
    /// From which revision on it was open, and from which on it was not any more.
    open: Vec<(Revision, Option<Revision>)>,
}

impl OpenAlerts {
    pub(super) fn look(&mut self, journals: &Journals, overview: &Overview) -> Result<(), Broken> {
        for shown in overview.take() {
            match shown {
                Shown::Alerts(page) => self.pending.push(page),
                Shown::Refused { problem } => return Err(broken(NAME, format!("the open alerts were not shown: {problem}"))),
            }
        }
        self.judge_pending(journals)
    }

    fn judge_pending(&mut self, journals: &Journals) -> Result<(), Broken> {
        for sealed in &journals.records()[self.folded..] {
            self.fold(&sealed.record);
        }
        self.folded = journals.records().len();
        // What comes from a node that no journal has told of yet is judged later.
        let told = journals.head();
        let (pages, pending) = std::mem::take(&mut self.pending).into_iter().partition(|page| page.revision <= told);
        self.pending = pending;
        pages.iter().try_for_each(|page| self.judge(page))
    }

    pub(super) fn look_at_the_end(&self, journals: &Journals) -> Result<(), Broken> {
        let head = journals.head();
        if self.reached == head {
            return Ok(());
        }
        Err(broken("convergence", format!("operators were shown the open alerts of {}, and it is {head}", self.reached)))
    }

    /// By the end all that operators were shown has been told by a journal: what was shown is not lost.
    pub(super) fn look_at_what_is_left(&self) -> Result<(), Broken> {
        match self.pending.first() {
            Some(page) => Err(broken(NAME, format!("the open alerts of {} were shown, which no journal tells", page.revision))),
            None => Ok(()),
        }
    }

    fn fold(&mut self, record: &Record) {
        let Event::Alert(event) = &record.event else { return };
        let mut change = |alert: bursar_domain::AlertId, change: &dyn Fn(&mut Alert)| {
            let alert = self.alerts.entry(alert.0).or_default();
            change(alert);
            alert.note(record.revision);
        };
        match event {
            alert::Event::Raised { alerts } => {
                alerts.iter().for_each(|raised| {
                    change(raised.alert, &|alert| (alert.fires, alert.is_acknowledged) = (true, false));
                });
            }
            alert::Event::Resolved { alerts } => alerts.iter().for_each(|id| change(*id, &|alert| alert.fires = false)),
            // Where nothing covers it any more, it is news again.
            alert::Event::Covered { alerts } => {
                alerts.iter().filter(|covered| covered.by.is_none()).for_each(|covered| {
                    change(covered.alert, &|alert| alert.is_acknowledged = false);
                });
            }
            alert::Event::Worsened { alerts } => {
                alerts.iter().for_each(|id| change(*id, &|alert| alert.is_acknowledged = false));
            }
            alert::Event::Explained { .. } => {}
            alert::Event::Acknowledged { alerts, .. } => {
                alerts.iter().for_each(|id| change(*id, &|alert| alert.is_acknowledged = true));
            }
        }
    }

    fn judge(&mut self, page: &AlertsPage) -> Result<(), Broken> {
        let is_on_page = |id: u64| id > page.after && page.upto.is_none_or(|upto| id <= upto);
        let due = self.alerts.iter().filter(|(id, alert)| is_on_page(**id) && alert.was_open_at(page.revision));
        let due: BTreeSet<u64> = due.map(|(id, _)| *id).collect();
        if let Some(missing) = due.difference(&page.alerts).next() {
            return Err(broken(NAME, format!("alert {missing} was open at {}, and was not shown", page.revision)));
        }
        if let Some(former) = page.alerts.difference(&due).next() {
            return Err(broken(NAME, format!("alert {former} was not open at {}, and was shown", page.revision)));
        }
        if page.upto.is_none() {
            self.reached = self.reached.max(page.revision);
        }
        Ok(())
    }
}

impl Alert {
    /// Notes whether it is open from a revision on.
    fn note(&mut self, revision: Revision) {
        let is_open = self.fires || !self.is_acknowledged;
        match self.open.last_mut() {
            Some((_, until @ None)) if !is_open => *until = Some(revision),
            Some((_, None)) => {}
            _ if is_open => self.open.push((revision, None)),
            _ => {}
        }
    }

    fn was_open_at(&self, revision: Revision) -> bool {
        self.open.iter().any(|(from, until)| *from <= revision && until.is_none_or(|until| revision < until))
    }
}

#[cfg(test)]
mod tests {
    use super::super::journals::tests::{some_records, told};
    use super::*;

    /// An alert that fires at revision 3, is over at 5, acknowledged at 7, and fires anew at 9.
    fn one_alert() -> OpenAlerts {
        let mut alert = Alert::default();
        for (revision, fires, is_acknowledged) in [(3, true, false), (5, false, false), (7, false, true), (9, true, false)] {
            (alert.fires, alert.is_acknowledged) = (fires, is_acknowledged);
            alert.note(Revision(revision));
        }
        OpenAlerts { alerts: [(1, alert)].into(), ..OpenAlerts::default() }
    }

    fn page(revision: u64, alerts: &[u64]) -> AlertsPage {
        AlertsPage { revision: Revision(revision), after: 0, upto: None, alerts: alerts.iter().copied().collect() }
    }

    #[test]
    fn an_alert_is_due_from_when_it_fires_until_it_is_over_and_acknowledged() {
        for (revision, shown) in [(2, &[][..]), (3, &[1]), (6, &[1]), (7, &[]), (8, &[]), (9, &[1])] {
            assert_eq!(one_alert().judge(&page(revision, shown)), Ok(()), "{revision}");
        }
    }

    #[test]
    fn an_open_alert_that_is_not_shown_and_a_former_one_that_is_are_found() {
        let told = |revision, shown: &[u64]| one_alert().judge(&page(revision, shown)).unwrap_err().detail;
        assert_eq!(told(6, &[]), "alert 1 was open at 6, and was not shown");
        assert_eq!(told(8, &[1]), "alert 1 was not open at 8, and was shown");
        assert_eq!(told(9, &[1, 2]), "alert 2 was not open at 9, and was shown");
    }

    #[test]
    fn a_page_answers_for_its_part_of_the_list_alone() {
        let part = |after, upto, shown: &[u64]| AlertsPage { after, upto, ..page(6, shown) };
        let mut alerts = one_alert();
        assert_eq!(alerts.judge(&part(1, None, &[])), Ok(()));
        assert_eq!(alerts.reached, Revision(6));
        let mut alerts = one_alert();
        assert_eq!(alerts.judge(&part(0, Some(1), &[1])), Ok(()));
        assert_eq!(alerts.reached, Revision::ZERO, "more is to come");
        assert!(alerts.judge(&part(0, Some(1), &[])).is_err());
    }

    #[test]
    fn what_no_journal_tells_yet_is_judged_later_and_must_be_by_the_end() {
        let records = some_records();
        let (last, before) = records.split_last().unwrap();
        let head = last.record.revision.0;
        let mut alerts = OpenAlerts { pending: vec![page(head, &[u64::MAX])], ..OpenAlerts::default() };
        assert_eq!(alerts.judge_pending(&told(before)), Ok(()));
        let left = format!("the open alerts of {head} were shown, which no journal tells");
        assert_eq!(alerts.look_at_what_is_left().unwrap_err().detail, left);
        assert_eq!(alerts.judge_pending(&told(&records)).unwrap_err().invariant, NAME);
        assert_eq!(alerts.look_at_what_is_left(), Ok(()));
    }
}
