//! One command's conversation: with the cluster through a client, with a person through the console.

use std::{collections::BTreeMap, path::PathBuf};

use bursar_wire::{
    Client, ClientError,
    client::{Answer, Change},
    objects::{Done, Effect},
    operations::{Operation, OperationFailure, OperationStatus},
    page::{DryRun, PAGE_ITEMS_MAX, Warning},
    query::{EventsQuery, ListQuery, ReadQuery},
    sites::Site,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;

use crate::{
    Console, Surroundings,
    config::ConfigFile,
    failure::{Exit, Failure},
    neighbours,
    noun::{Noun, Observed},
    options::{ConfirmedOptions, EditOptions, Format, ListOptions, Options, VersionOptions},
    output,
    settings::Settings,
};

/// One command's conversation.
pub(crate) struct Session<'s> {
    pub client: Client,
    pub console: &'s mut Console,
    pub format: Format,
    /// The context that it goes by alone, and where that is kept.
    context: Option<(String, PathBuf)>,
}

/// The names of the sites, for whoever reads their numbers.
type SiteNames = BTreeMap<String, String>;

impl<'s> Session<'s> {
    pub fn open(options: &Options, surroundings: &'s mut Surroundings) -> Result<Self, Failure> {
        let settings = Settings::gather(options, surroundings)?;
        settings.refuse_withheld_token()?;
        let context = settings.context.clone().filter(|_| settings.is_as_kept).zip(surroundings.config_path());
        Ok(Self { client: settings.client()?, format: settings.format, console: &mut surroundings.console, context })
    }

    /// Keeps the members' URLs in the context, so that it stays of use when the nodes fail that it was made with.
    pub fn learn_members<'a>(&mut self, addresses: impl IntoIterator<Item = &'a str>) -> Result<(), Failure> {
        let Some((name, path)) = &self.context else { return Ok(()) };
        let learnt = neighbours::learnt(self.client.nodes(), addresses);
        if learnt == self.client.nodes() {
            return Ok(());
        }
        let urls: Vec<_> = learnt.iter().map(ToString::to_string).collect();
        let kept = ConfigFile::load(path).and_then(|mut file| {
            if let Some(context) = file.contexts.get_mut(name) {
                context.urls.clone_from(&urls);
            }
            file.save(path)
        });
        // What was asked for has been answered, whether or not this can be kept.
        match kept {
            Ok(()) => self.console.tell(&format!("context “{name}” knows these nodes now: {}", urls.join(", "))),
            Err(failure) => self.console.tell(&format!("the other nodes are not kept in context “{name}”: {}", failure.message)),
        }
    }

    /// Shows a document: as JSON, or as people read it.
    pub fn show(&mut self, document: &impl Serialize, text: impl FnOnce() -> String) -> Result<(), Failure> {
        match self.format {
            Format::Json => self.console.line(&output::json(document)),
            Format::Table => self.console.line(&text()),
        }
    }

    pub async fn read<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        Ok(self.client.get(path, &ReadQuery::default()).await?.json()?)
    }

    /// An object, and what else can be read of it behind `part` of its path. Without a quorum it is said what could not be read.
    pub async fn read_part<N: Noun, T: DeserializeOwned>(&self, reference: &str, part: &str) -> Result<(N, T), Failure> {
        let read = async {
            let object: N = self.find_in(&VersionOptions::default(), reference).await?;
            let told = self.read(&format!("{}/{}/{part}", N::PATH, object.id())).await?;
            Ok((object, told))
        };
        read.await.map_err(|failure: Failure| match failure.exit {
            Exit::NoQuorum => failure.with_nothing_read(&format!("{} “{reference}”", N::NOUN)),
            _ => failure,
        })
    }

    /// Warns whoever asked for what one node has that it may be old. What is asked of a node in one go is of one version or newer.
    pub fn tell_if_stale(&mut self, version: &VersionOptions) -> Result<(), Failure> {
        if !version.stale {
            return Ok(());
        }
        let (node, revision) = (self.client.answered_last(), self.client.seen());
        let revision = revision.map_or_else(String::new, |revision| format!(" at revision {revision}"));
        self.console.tell(&format!("notice: this is what {node} knew{revision}; nobody was asked whether it still is so"))
    }

    /// All items of a list, page after page, as of the first page or later; and whether there are more than were asked for.
    pub async fn list<N: Noun>(&self, options: &ListOptions) -> Result<(Vec<N>, bool), Failure> {
        let wanted = options.limit.unwrap_or(usize::MAX);
        let mut items = Vec::new();
        let (filter, sort, observed) = (options.filter.clone(), options.sort.clone(), N::IS_OBSERVED.then_some(true));
        let mut query = ListQuery { filter, sort, observed, ..options.version.list_query() };
        while items.len() < wanted {
            let rest = u32::try_from(wanted - items.len()).unwrap_or(u32::MAX);
            query.limit = Some(rest.min(PAGE_ITEMS_MAX));
            let page = self.client.page::<N>(N::PATH, &query).await?;
            items.extend(page.items);
            query.page_token = page.next_page_token;
            if query.page_token.is_none() {
                break;
            }
        }
        let are_more = items.len() > wanted || query.page_token.is_some();
        items.truncate(wanted);
        Ok((items, are_more))
    }

    /// Lists, and shows the list.
    pub async fn show_list<N: Noun>(&mut self, options: &ListOptions) -> Result<Vec<N>, Failure> {
        let (items, are_more) = self.list::<N>(options).await?;
        let mut rows: Vec<_> = items.iter().map(N::row).collect();
        if let (Some(column), Format::Table, false) = (N::SITE_COLUMN, self.format, rows.is_empty()) {
            let names = self.site_names(options).await?;
            for site in rows.iter_mut().filter_map(|row| row.get_mut(column)) {
                if let Some(name) = names.get(site) {
                    *site = format!("{site} {name}");
                }
            }
        }
        self.show(&items, || output::table(N::HEADING, rows))?;
        if self.format == Format::Table {
            for reason in unknown(&items) {
                self.console.tell(&reason)?;
            }
        }
        if are_more {
            self.console.tell(&format!("there are more than these {}; --limit tells how many to show", items.len()))?;
        }
        self.tell_if_stale(&options.version)?;
        Ok(items)
    }

    /// The sites' names by their numbers, as of the same version as a list.
    async fn site_names(&self, options: &ListOptions) -> Result<SiteNames, Failure> {
        let all = ListOptions { version: options.version.clone(), ..ListOptions::default() };
        let (sites, _) = self.list::<Site>(&all).await?;
        Ok(sites.into_iter().map(|site| (site.id.to_string(), site.name)).collect())
    }

    pub fn show_one<N: Noun>(&mut self, object: &N) -> Result<(), Failure> {
        self.show(object, || output::details(object.details()))
    }

    /// The object that a person means, as it is, mostly to have it changed. Without a quorum there is no telling which it is; then
    /// what they wanted is not done, and that is what they hear of.
    pub async fn find<N: Noun>(&self, reference: &str) -> Result<N, Failure> {
        self.find_in(&VersionOptions::default(), reference).await.map_err(|failure| match failure.exit {
            Exit::NoQuorum => failure.before_anything_was_done(&format!("{} “{reference}”", N::NOUN)),
            _ => failure,
        })
    }

    /// The object that a person means, in a version: by its number, or by its name, ASCII letters folded. Where a name looks like
    /// a number and both exist, `id:` or `name:` before it tells which.
    pub async fn find_in<N: Noun>(&self, version: &VersionOptions, reference: &str) -> Result<N, Failure> {
        let (by_number, by_name) = match reference.split_once(':') {
            Some(("id", number)) => (Some(number), None),
            Some(("name", name)) => (None, Some(name)),
            _ => (Some(reference), Some(reference)),
        };
        let numbered = match by_number.and_then(|text| text.parse::<u64>().ok()) {
            Some(number) => self.numbered::<N>(version, number).await?,
            None => None,
        };
        let (named, are_more) = match (by_name, N::NAME_FIELD) {
            (Some(name), Some(field)) => self.named::<N>(version, field, name).await?,
            _ => (Vec::new(), false),
        };
        let mut found: Vec<N> = numbered.into_iter().collect();
        found.extend(named.into_iter().filter(|object| found.iter().all(|other| other.id() != object.id())).collect::<Vec<_>>());
        if found.len() > 1 {
            return Err(ambiguous(reference, &found, are_more));
        }
        let missing = || Failure::new(Exit::NotFound, format!("There is no {} “{reference}”.", N::NOUN), N::LIST);
        found.pop().ok_or_else(missing)
    }

    async fn numbered<N: Noun>(&self, version: &VersionOptions, number: u64) -> Result<Option<N>, Failure> {
        match self.client.get(&format!("{}/{number}", N::PATH), &version.query()).await {
            Ok(answer) => Ok(Some(answer.json()?)),
            Err(ClientError::Problem { problem, .. }) if problem.status == 404 => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Those that are called so, and whether there are more of them.
    async fn named<N: Noun>(&self, version: &VersionOptions, field: &str, name: &str) -> Result<(Vec<N>, bool), Failure> {
        let filter = Some(format!("{field}={name}"));
        let query = ListQuery { filter, limit: Some(NAMESAKES_MAX), ..version.list_query() };
        let page = self.client.page::<N>(N::PATH, &query).await?;
        let found = page.items.into_iter().filter(|object| object.name().eq_ignore_ascii_case(name)).collect();
        Ok((found, page.next_page_token.is_some()))
    }

    /// Makes a change that is not easily undone, and asks before, unless `--yes` was given. Nobody is asked about what would be
    /// refused: `change` is rehearsed first.
    pub async fn confirmed(
        &mut self,
        question: Question,
        options: &ConfirmedOptions,
        change: impl AsyncFn(&Client, Change) -> Result<Answer, Failure>,
    ) -> Result<Answer, Failure> {
        if !options.yes && !options.dry_run() {
            let DryRun { warnings, .. } = change(&self.client, options.rehearsal()).await?.json()?;
            self.ask(question, &warnings)?;
        }
        change(&self.client, options.change()).await
    }

    /// Asks whether to go on. Without anybody to ask, only `--yes` does.
    fn ask(&mut self, question: Question, warnings: &[Warning]) -> Result<(), Failure> {
        let Question { what, warning, again } = question;
        let warnings = warning.map(|warning| format!("warning: {warning}")).into_iter().chain(output::warnings(warnings));
        if !self.console.interactive {
            let message = format!("{what}? Needs confirmation: repeat with --yes.");
            return Err(Failure { details: warnings.collect(), ..Failure::usage(message, format!("{again} --yes")) });
        }
        for warning in warnings {
            self.console.tell(&warning)?;
        }
        if self.console.confirms(&format!("{what}?"))? {
            return Ok(());
        }
        Err(Failure::new(Exit::Failed, "Nothing was changed.", format!("{again} --dry-run")))
    }

    /// Tells what became of an edit of what had this ETag.
    pub fn show_edited<N: Noun>(&mut self, answer: &Answer, dry_run: bool, etag_before: &str) -> Result<(), Failure> {
        let effect = if answer.etag.as_deref() == Some(etag_before) { "unchanged: nothing to change in" } else { "changed" };
        self.show_changed::<N>(answer, dry_run, effect)
    }

    /// Tells what became of a change: the object as it stands now, or the events of a dry run.
    pub fn show_changed<N: Noun>(&mut self, answer: &Answer, dry_run: bool, effect: &str) -> Result<(), Failure> {
        if dry_run {
            return self.show_dry_run(answer);
        }
        let object: N = answer.json()?;
        self.console.tell(&format!("{effect} {}", object.described()))?;
        self.show_one(&object)
    }

    /// Shows the object that a person means, in a version.
    pub async fn show_found<N: Noun>(&mut self, version: &VersionOptions, reference: &str) -> Result<(), Failure> {
        let object: N = self.find_in(version, reference).await?;
        self.show_one(&object)?;
        self.tell_if_stale(version)
    }

    /// Shows the object that a person means, in a version, with what is observed of it.
    pub async fn show_observed<O: Observed>(&mut self, version: &VersionOptions, reference: &str) -> Result<(), Failure> {
        let found: O::Object = self.find_in(version, reference).await?;
        let path = format!("{}/{}", O::Object::PATH, found.id());
        let observed: O = self.client.get(&path, &version.query()).await?.json()?;
        self.show_one(&observed)?;
        self.tell_if_stale(version)
    }

    /// Removes the object that a person means, once they have agreed: `question` asks what becomes of it, and `command` is what
    /// to repeat for it.
    pub async fn remove<N: Noun>(
        &mut self,
        reference: &str,
        question: impl FnOnce(&str) -> String,
        command: &str,
        options: &ConfirmedOptions,
    ) -> Result<(), Failure> {
        let object: N = self.find(reference).await?;
        let question = Question::new(question(&object.described()), format!("{command} {}", object.id()));
        let path = format!("{}/{}", N::PATH, object.id());
        let answer = self.confirmed(question, options, async |client, change| Ok(client.delete(&path, change).await?)).await?;
        self.show_removed(&object, &N::NOUN.replace(' ', "_"), &answer, options.dry_run())
    }

    /// Tells what became of a removal.
    pub fn show_removed<N: Noun>(&mut self, object: &N, kind: &str, answer: &Answer, dry_run: bool) -> Result<(), Failure> {
        if dry_run {
            return self.show_dry_run(answer);
        }
        self.console.tell(&format!("removed {}", object.described()))?;
        if self.format == Format::Json {
            let object = bursar_wire::objects::ObjectRef { kind: kind.into(), id: object.id() };
            let done = Done { effect: Effect::Removed, object };
            self.console.line(&output::json(&json!({ "outcome": done, "revision": answer.revision })))?;
        }
        Ok(())
    }

    pub fn show_dry_run(&mut self, answer: &Answer) -> Result<(), Failure> {
        let dry_run: DryRun = answer.json()?;
        self.console.tell("nothing was changed; this is what would happen:")?;
        self.show(&dry_run, || {
            let rows = dry_run.events.iter().map(|event| vec![event.cursor.clone(), event.kind.clone(), event.summary.clone()]);
            let mut text = format!("{}\noutcome: {}", output::table(&["cursor", "kind", "summary"], rows), dry_run.outcome);
            if !dry_run.warnings.is_empty() {
                text.push_str("\n\n");
                text.push_str(&output::warnings(&dry_run.warnings).join("\n"));
            }
            text
        })
    }

    /// Tells of an operation that was started, and follows it where that is asked for.
    pub async fn show_started(&mut self, answer: &Answer, dry_run: bool, wait: bool, what: &str) -> Result<(), Failure> {
        if dry_run {
            return self.show_dry_run(answer);
        }
        let mut operation: Operation = answer.json()?;
        self.console.tell(&format!("{what}, carried by operation {}", operation.id))?;
        if wait {
            operation = self.wait_for(operation.id).await?;
        }
        self.show_one(&operation)
    }

    /// Has something done to an object with this ETag, by the verb of its path, and tells what became of it.
    pub async fn do_to<N: Noun>(&mut self, (object, etag): (&N, &str), verb: &str, options: &EditOptions) -> Result<(), Failure> {
        let answer = self.client.act(&format!("{}/{}/{verb}", N::PATH, object.id()), options.change()).await?;
        self.show_edited::<N>(&answer, options.change.dry_run, etag)
    }

    /// Follows an operation to its end, telling how it goes; fails where it did not succeed.
    pub async fn wait_for(&mut self, id: u64) -> Result<Operation, Failure> {
        let path = format!("operations/{id}");
        let mut operation: Operation = self.read(&path).await?;
        let query = EventsQuery {
            since: Some(operation.changed.revision.clone()),
            subject: Some(format!("operation:{id}")),
            ..EventsQuery::default()
        };
        let mut events = self.client.events(query);
        self.console.tell(&progress(&operation))?;
        while operation.status == OperationStatus::Running {
            // Any item is a reason to look again: an event tells a change, a bookmark that none was missed.
            let Some(item) = events.next().await? else { break };
            let seen = item.cursor().map(str::to_owned);
            let query = ReadQuery { min_revision: seen, ..ReadQuery::default() };
            let now: Operation = self.client.get(&path, &query).await?.json()?;
            if now != operation {
                self.console.tell(&progress(&now))?;
            }
            operation = now;
        }
        if operation.status == OperationStatus::Succeeded {
            return Ok(operation);
        }
        let next = format!("bursar operation show {id}");
        Err(match operation.failure {
            Some(OperationFailure { code, reason, remedy }) => {
                Failure::new(Exit::Failed, format!("Operation {id} failed: {reason} ({code})."), next).with_hint(remedy)
            }
            None => Failure::new(Exit::Failed, format!("Operation {id} was {}.", operation.status.as_str()), next),
        })
    }
}

/// What is asked before something that is not easily undone.
pub(crate) struct Question {
    /// What is to be done.
    what: String,
    /// What to know before, in a sentence.
    warning: Option<String>,
    /// The command to repeat for it.
    again: String,
}

impl Question {
    pub fn new(what: impl Into<String>, again: impl Into<String>) -> Self {
        Self { what: what.into(), warning: None, again: again.into() }
    }

    /// The same, with what to know before.
    #[must_use]
    pub fn with_warning(self, warning: Option<String>) -> Self {
        Self { warning, ..self }
    }
}

/// How many objects of one name are told apart.
const NAMESAKES_MAX: u32 = 10;

/// Why nobody can tell which object is meant, with each that may be and the command that shows the first of them.
fn ambiguous<N: Noun>(reference: &str, candidates: &[N], are_more: bool) -> Failure {
    let told = |object: &N| {
        let place = object.place().map_or_else(String::new, |place| format!(" {place}"));
        format!("id:{}  “{}”{place}", object.id(), object.name())
    };
    let more = are_more.then(|| format!("and more: {}", N::LIST));
    let details = candidates.iter().map(told).chain(more).collect();
    let next = format!("{} id:{}", N::LIST.replace(" list", " show"), candidates[0].id());
    let message = format!("“{reference}” may be more than one {}.", N::NOUN);
    Failure { details, ..Failure::usage(message, next) }.with_hint("Write id: and the number in its place, as below.")
}

/// How many objects are named of which the same is not known.
const UNKNOWN_NAMED_MAX: usize = 8;

/// Why cells of a list are unknown, a line for each reason.
fn unknown<N: Noun>(items: &[N]) -> Vec<String> {
    let mut reasons: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for item in items {
        if let Some(why) = item.unknown() {
            reasons.entry(why).or_default().push(item.id());
        }
    }
    let told = |(why, ids): (String, Vec<u64>)| {
        let named: Vec<_> = ids.iter().take(UNKNOWN_NAMED_MAX).map(u64::to_string).collect();
        let more = match ids.len().saturating_sub(UNKNOWN_NAMED_MAX) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!("{}, {} {}{more}: {why}", output::UNKNOWN, N::NOUN, named.join(", "))
    };
    reasons.into_iter().map(told).collect()
}

fn progress(operation: &Operation) -> String {
    let mut text = format!("operation {} {}", operation.id, operation.status.as_str());
    if operation.status == OperationStatus::Running {
        if let Some(step) = operation.steps.last() {
            text.push_str(&format!(", {}", step.step.replace('_', " ")));
        }
        for wait in &operation.waiting_on {
            text.push_str(&format!("; waits: {} ({})", wait.reason, wait.remedy));
        }
    }
    text
}
