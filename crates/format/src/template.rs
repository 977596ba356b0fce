//! The public face of the template engine.

use serde_json::Value as Json;

/// A template that cannot be parsed or executed. The text is Docker's: `template parsing error: template: :1:2: …`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("template parsing error: {message}")]
pub struct Error {
    /// Go's own message, which begins with `template: :LINE:`.
    pub message: String,
}

/// A method of the data's types, as in `{{.Label "key"}}`: given the receiver, the name and the arguments, it answers, or
/// fails with a message, or is `None` because there is no such method.
pub type Method<'m> = &'m dyn Fn(&Json, &str, &[Json]) -> Option<Result<Json, String>>;

/// Fields of Docker's types that are maps with keys of the user's choice: an absent key there is no error.
pub const DOCKER_MAPS: &[&str] = &[
    "Annotations",
    "Data",
    "DriverOpts",
    "ExposedPorts",
    "GenericResources",
    "Labels",
    "Networks",
    "Options",
    "PortBindings",
    "Ports",
    "StorageOpt",
    "Sysctls",
    "Tmpfs",
    "Volumes",
];

/// Fields of Docker's types that are durations: nanoseconds in JSON, `1m30s` in print.
pub const DOCKER_DURATIONS: &[&str] = &["Interval", "Timeout", "StartPeriod", "StartInterval"];

/// Fields of Docker's types that are moments and not the text of one: in print they have Go's form.
pub const DOCKER_TIMES: &[&str] = &["LastTagTime"];

/// What a field of Docker's types is when its JSON leaves it out, or has null there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zero {
    /// Nothing that has a name: `<nil>`. What is asked of it is an error.
    Nil,
    /// An empty list, which is null in JSON.
    List,
    /// An empty map, which is null in JSON.
    Map,
    /// An empty text.
    Text,
    /// `false`.
    False,
    /// 0.
    Number,
}

/// Fields of Docker's types, and of the OCI's, that are left out of JSON when there is nothing in them.
pub const DOCKER_OPTIONAL: &[(&str, Zero)] = &[
    ("ArgsEscaped", Zero::False),
    ("Author", Zero::Text),
    ("Cmd", Zero::List),
    ("Comment", Zero::Text),
    ("CreatedBy", Zero::Text),
    ("EmptyLayer", Zero::False),
    ("Entrypoint", Zero::List),
    ("Env", Zero::List),
    ("ExposedPorts", Zero::Map),
    ("Health", Zero::Nil),
    ("HealthCheck", Zero::Nil),
    ("Healthcheck", Zero::Nil),
    ("Interval", Zero::Number),
    ("Labels", Zero::Map),
    ("OnBuild", Zero::List),
    ("OsVersion", Zero::Text),
    ("Retries", Zero::Number),
    ("Shell", Zero::List),
    ("SizeRootFs", Zero::Nil),
    ("SizeRw", Zero::Nil),
    ("StartInterval", Zero::Number),
    ("StartPeriod", Zero::Number),
    ("StopSignal", Zero::Text),
    ("Timeout", Zero::Number),
    ("User", Zero::Text),
    ("Variant", Zero::Text),
    ("Volumes", Zero::Map),
    ("WorkingDir", Zero::Text),
];

/// What a template means beyond the language itself. The default is plain Go over decoded JSON.
#[derive(Clone, Copy, Default)]
pub struct Env<'e> {
    /// An absent field is an error (Go's `missingkey=error`) and not `<no value>`.
    pub strict: bool,
    /// Treat objects as Docker's typed structures: `.ID` finds `Id`, null lists and maps are empty ones.
    pub typed: bool,
    /// With `typed`: names of fields that are maps (see [`DOCKER_MAPS`]).
    pub maps: &'e [&'e str],
    /// With `typed`: names of fields that are durations (see [`DOCKER_DURATIONS`]).
    pub durations: &'e [&'e str],
    /// With `typed`: names of fields that are moments (see [`DOCKER_TIMES`]).
    pub times: &'e [&'e str],
    /// With `typed`: names of fields that may be left out, and what they are then (see [`DOCKER_OPTIONAL`]).
    pub optional: &'e [(&'e str, Zero)],
    /// Methods of the data's types.
    pub methods: Option<Method<'e>>,
}

impl Env<'_> {
    /// As `docker inspect --format` behaves.
    #[must_use]
    pub const fn docker() -> Self {
        let (durations, times, optional) = (DOCKER_DURATIONS, DOCKER_TIMES, DOCKER_OPTIONAL);
        Env { strict: true, typed: true, maps: DOCKER_MAPS, durations, times, optional, methods: None }
    }

    /// For a row of a listing, which has all the fields that there are.
    #[must_use]
    pub const fn row() -> Self {
        Env { optional: &[], ..Env::docker() }
    }
}

/// A parsed Go template with Docker's functions.
///
/// ```no_run
/// let template = carboy_format::Template::parse("{{.Name | upper}}: {{join .Tags \",\"}}").unwrap();
/// let data = serde_json::json!({"Name": "web", "Tags": ["a", "b"]});
/// assert_eq!(template.render(&data).unwrap(), "WEB: a,b");
/// ```
#[derive(Debug, Clone)]
pub struct Template {
    text: String,
    parsed: crate::parse::Parsed,
}

impl Template {
    /// Parses `text`.
    ///
    /// # Errors
    /// The first mistake, in Go's words.
    pub fn parse(text: &str) -> Result<Self, Error> {
        match crate::parse::parse(text) {
            Ok(parsed) => Ok(Template { text: text.to_owned(), parsed }),
            Err(message) => Err(Error { message }),
        }
    }

    /// Executes the template on `data` as `docker inspect --format` would ([`Env::docker`]).
    ///
    /// # Errors
    /// What cannot be evaluated, in Go's words.
    pub fn render(&self, data: &Json) -> Result<String, Error> {
        self.render_with(data, &Env::docker())
    }

    /// Executes the template on `data` in an environment of the caller's choice.
    ///
    /// # Errors
    /// What cannot be evaluated, in Go's words.
    pub fn render_with(&self, data: &Json, env: &Env<'_>) -> Result<String, Error> {
        crate::exec::execute(&self.text, &self.parsed, env, data, false).map_err(|message| Error { message })
    }

    /// The heading of a table: functions that change text leave column names as they are. What fails is left out.
    pub(crate) fn render_header(&self, names: &Json) -> String {
        let env = Env { methods: Some(&|_, name, args| crate::listing::header_method(name, args)), ..Env::docker() };
        crate::exec::execute(&self.text, &self.parsed, &env, names, true).unwrap_or_default()
    }
}
