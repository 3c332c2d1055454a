//! Destinations.

use bursar_domain::{
    Command, DestinationId, Effect, FieldFault, Rejection, SiteId,
    destination::{self, Balancing, Change, DailyWindow, FreeSpaceThresholds},
};

use crate::book::*;

fn create(name: &str, site: u64) -> Command {
    Command::Destination(destination::Command::Create {
        name: name.into(),
        description: String::new(),
        site: SiteId(site),
        offered: true,
        balancing: Balancing::default(),
        free_space: FreeSpaceThresholds::default(),
    })
}

fn edit(change: Change) -> Command {
    Command::Destination(destination::Command::Edit { destination: DestinationId(1), change })
}

fn remove(destination: u64) -> Command {
    Command::Destination(destination::Command::Remove { destination: DestinationId(destination) })
}

fn a_destination() -> Given {
    a_cluster().and([site_created(1, "Dublin"), site_created(2, "Paris"), destination_created(1, "vault", 1)])
}

fn edited(change: Change) -> bursar_domain::Event {
    let Change { name, description, site, offered, balancing, free_space } = change;
    destination::Event::Edited {
        destination: DestinationId(1),
        name: name.as_deref().map(crate::book::name),
        description: description.as_deref().map(crate::book::description),
        site,
        offered,
        balancing,
        free_space,
    }
    .into()
}

fn balanced(change: impl FnOnce(&mut Balancing)) -> Command {
    let mut balancing = Balancing::default();
    change(&mut balancing);
    edit(Change { balancing: Some(balancing), ..Change::default() })
}

fn thresholds(warning_percent: u8, critical_percent: u8) -> Command {
    edit(Change { free_space: Some(FreeSpaceThresholds { warning_percent, critical_percent }), ..Change::default() })
}

fn out_of_range(command: Command, field: &str, min: u64, max: u64) {
    a_destination().when(ADMINISTRATOR, command).refused("invalid_field").for_field(field, FieldFault::OutOfRange { min, max });
}

rules! {
    fn a_destination_is_created_at_a_site() {
        a_cluster()
            .and([site_created(1, "Dublin")])
            .when(ADMINISTRATOR, create("vault", 1))
            .then([destination_created(1, "vault", 1)])
            .told(Effect::Created, DestinationId(1));
    }

    fn its_site_must_exist() {
        let unknown = FieldFault::Unknown { object: SiteId(1).into() };
        a_cluster().when(ADMINISTRATOR, create("vault", 1)).refused("invalid_field").for_field("site", unknown);
        let unknown = FieldFault::Unknown { object: SiteId(3).into() };
        let elsewhere = edit(Change { site: Some(SiteId(3)), ..Change::default() });
        a_destination().when(ADMINISTRATOR, elsewhere).refused("invalid_field").for_field("site", unknown);
    }

    fn a_name_belongs_to_one_destination() {
        a_destination().when(ADMINISTRATOR, create("VAULT", 2)).refused("name_taken").because(Rejection::NameTaken {
            name: "VAULT".into(),
            holder: DestinationId(1).into(),
        });
    }

    fn a_site_and_a_destination_may_share_a_name() {
        a_destination().when(ADMINISTRATOR, create("Dublin", 1)).then([destination_created(2, "Dublin", 1)]);
    }

    fn every_field_can_be_changed() {
        let change = Change {
            name: Some("cellar".into()),
            description: Some("below\n\tthe stairs".into()),
            site: Some(SiteId(2)),
            offered: Some(false),
            balancing: Some(Balancing {
                enabled: false,
                allowed_variance_percent: 100,
                window: Some(DailyWindow { from_minute: 1_439, to_minute: 1 }),
                rate_bytes_per_second: Some(1),
                concurrency: 64,
            }),
            free_space: Some(FreeSpaceThresholds { warning_percent: 99, critical_percent: 98 }),
        };
        a_destination()
            .when(ADMINISTRATOR, edit(change.clone()))
            .then([edited(change)])
            .told(Effect::Changed, DestinationId(1));
    }

    fn only_what_differs_is_an_event() {
        let change = Change { name: Some("vault".into()), offered: Some(false), site: Some(SiteId(1)), ..Change::default() };
        let differs = Change { offered: Some(false), ..Change::default() };
        a_destination().when(ADMINISTRATOR, edit(change)).then([edited(differs)]);
        a_destination().when(ADMINISTRATOR, edit(Change::default())).then([]).told(Effect::Unchanged, DestinationId(1));
    }

    fn balancing_stays_within_its_limits() {
        out_of_range(balanced(|balancing| balancing.allowed_variance_percent = 0), "balancing/allowed_variance_percent", 1, 100);
        out_of_range(balanced(|balancing| balancing.allowed_variance_percent = 101), "balancing/allowed_variance_percent", 1, 100);
        out_of_range(balanced(|balancing| balancing.concurrency = 0), "balancing/concurrency", 1, 64);
        out_of_range(balanced(|balancing| balancing.concurrency = 65), "balancing/concurrency", 1, 64);
        let rate = "balancing/rate_bytes_per_second";
        out_of_range(balanced(|balancing| balancing.rate_bytes_per_second = Some(0)), rate, 1, u64::MAX);
    }

    fn a_window_lies_within_the_day() {
        let window = |from_minute, to_minute| {
            balanced(|balancing| balancing.window = Some(DailyWindow { from_minute, to_minute }))
        };
        out_of_range(window(1_440, 60), "balancing/window/from_minute", 0, 1_439);
        out_of_range(window(0, 1_441), "balancing/window/to_minute", 1, 1_440);
        out_of_range(window(0, 0), "balancing/window/to_minute", 1, 1_440);
    }

    fn the_critical_threshold_lies_below_the_warning() {
        out_of_range(thresholds(100, 5), "free_space/warning_percent", 1, 99);
        out_of_range(thresholds(0, 0), "free_space/warning_percent", 1, 99);
        out_of_range(thresholds(99, 99), "free_space/critical_percent", 0, 98);
        a_destination()
            .when(ADMINISTRATOR, thresholds(10, 10))
            .refused("invalid_field")
            .for_field("free_space/critical_percent", FieldFault::ThresholdsCrossed);
    }

    fn a_destination_is_removed() {
        a_destination()
            .when(ADMINISTRATOR, remove(1))
            .then([destination::Event::Removed { destination: DestinationId(1) }.into()])
            .told(Effect::Removed, DestinationId(1));
        a_destination().when(ADMINISTRATOR, remove(2)).refused("not_found");
        let command = Command::Destination(destination::Command::Edit { destination: DestinationId(2), change: Change::default() });
        a_destination().when(ADMINISTRATOR, command).refused("not_found");
    }
}
