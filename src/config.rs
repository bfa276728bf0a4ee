//! How a setting is defined: once, with Kafka's name, its type, its default and its range.
//!
//! `settings!` makes from one list the configuration, its builder, reading from strings, and the list that
//! documentation and command line print. A configuration that was built is whole and never changes.
//!
//! | Kafka's setting | is |
//! |---|---|
//! | makes sense in one process | an entry of the list |
//! | is about a network, or work that nobody has here | taken by name, logged, kept apart: `known::NETWORK` and its like |
//! | would change what an application gets, and this version cannot do it | refused by name, with what to do in its place |
//! | is unknown | refused, with the name that is nearest to it |

pub(crate) mod known;
mod nearest;

use std::fmt;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::types::{Acks, Compression, TimestampType};

/// What a setting is called, takes and does; [`ProducerConfig::settings`](crate::ProducerConfig::settings) and its like
/// list them.
///
/// ```
/// # use ottla::ProducerConfig;
/// for setting in ProducerConfig::settings() {
///     println!("{:<18} {:<10} {}", setting.name, setting.default, setting.kind); // linger.ms  5  ms
/// }
/// let linger = ProducerConfig::settings().into_iter().find(|setting| setting.name == "linger.ms").expect("it is one");
/// assert_eq!((linger.kind, linger.default.as_str()), ("ms", "5"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Setting {
    /// Kafka's name, which `set` of the builders takes.
    pub name: &'static str,
    /// What values look like: `ms`, `number`, `true or false`, `text`, or the words to choose from.
    pub kind: &'static str,
    /// The default, as it would be written.
    pub default: String,
    /// What it does, in Markdown.
    pub doc: &'static str,
    /// Kafka's default, where it is another one; `None` too where Kafka has no such setting.
    pub kafka_default: Option<&'static str>,
    /// Why it is not Kafka's; `None` where it has Kafka's name and default.
    pub difference: Option<&'static str>,
}

/// A type that a setting can have.
pub(crate) trait Value: Sized + Clone {
    const KIND: &'static str;
    /// Reads it from text; the error says what was expected.
    fn parse(text: &str) -> Result<Self, String>;
    /// Writes it as `parse` reads it.
    fn show(&self) -> String;
}

macro_rules! number {
    ($($type:ty),*) => { $(
        impl Value for $type {
            const KIND: &'static str = "number";
            fn parse(text: &str) -> Result<Self, String> {
                text.parse().map_err(|_error| format!("expected a whole number from {} to {}", Self::MIN, Self::MAX))
            }
            fn show(&self) -> String {
                self.to_string()
            }
        }
    )* };
}

number!(i32, u32, i64, u64, usize);

impl Value for Duration {
    const KIND: &'static str = "ms";

    fn parse(text: &str) -> Result<Self, String> {
        let millis = text.parse::<i64>().ok().and_then(|millis| u64::try_from(millis).ok());
        millis.map(Self::from_millis).ok_or_else(|| format!("expected milliseconds from 0 to {}", i64::MAX))
    }

    fn show(&self) -> String {
        self.as_millis().to_string()
    }
}

impl Value for bool {
    const KIND: &'static str = "true or false";

    fn parse(text: &str) -> Result<Self, String> {
        text.parse().map_err(|_error| "expected true or false".to_owned())
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for Option<String> {
    const KIND: &'static str = "text";

    fn parse(text: &str) -> Result<Self, String> {
        Ok(Some(text.to_owned()))
    }

    fn show(&self) -> String {
        self.clone().unwrap_or_default()
    }
}

/// Defines how the values of an enum are written.
macro_rules! words {
    ($type:ty, $kind:literal: $($word:literal => $value:expr),+ $(,)?) => {
        impl $crate::config::Value for $type {
            const KIND: &'static str = $kind;
            fn parse(text: &str) -> Result<Self, String> {
                match text {
                    $($word => Ok($value),)+
                    _ => Err(format!("expected {}", $kind)),
                }
            }
            fn show(&self) -> String {
                self.to_string()
            }
        }
    };
}
pub(crate) use words;

words!(Acks, "0, 1 or all": "0" => Self::Zero, "1" => Self::One, "all" => Self::All, "-1" => Self::All);
words!(
    Compression, "none, gzip, snappy, lz4 or zstd":
    "none" => Self::None, "gzip" => Self::Gzip, "snappy" => Self::Snappy, "lz4" => Self::Lz4, "zstd" => Self::Zstd,
);
words!(
    TimestampType, "CreateTime or LogAppendTime":
    "CreateTime" => Self::CreateTime, "LogAppendTime" => Self::LogAppendTime,
);

/// Refuses `value` of the setting `name` unless it is at least `least`.
pub(crate) fn at_least<T: PartialOrd + fmt::Display>(name: &str, value: T, least: T) -> Result<()> {
    if value < least {
        return Err(Error::invalid_config(name, value, format!("it has to be at least {least}")));
    }
    Ok(())
}

/// What to say to a name that no setting has: that this version does without, or which one is meant.
pub(crate) fn unknown_name(name: &str, refused: &[known::List], settings: &[Setting]) -> String {
    if let Some(reason) = known::find_in(refused, name) {
        return reason.to_owned();
    }
    match nearest::nearest(name, settings.iter().map(|setting| setting.name)) {
        Some(other) => format!("there is no such setting; the nearest is {other}"),
        None => "there is no such setting".to_owned(),
    }
}

/// Defines a configuration. Its `check(&self) -> Result<()>`, written by hand, holds the values against each other.
///
/// `"name" = "value" not "wrong"` is what the examples in the documentation of its methods set: a value that is taken,
/// and one that is a value of that type, and that `build` refuses.
///
/// Behind a setting's name stands what differs from Kafka: `kafka "its default" because "why"`, or `because "why"` alone
/// if Kafka has no such setting. Behind the list stand the names that are taken without effect, and those that are
/// refused although Kafka has them: `without_effect [known::A, ...] refused [known::B, ...]`.
macro_rules! settings {
    (
        $(#[$meta:meta])*
        pub struct $config:ident, $builder:ident, $example:literal = $fine:literal not $wrong:literal {
            $( #[doc = $doc:literal] $(#[doc = $more:literal])* $field:ident: $type:ty = $default:expr,
                $name:literal $(kafka $kafka:literal)? $(because $why:literal)?; )+
        }
        $( without_effect [$($ignored:expr),*] refused [$($refused:expr),*] )?
    ) => {
        $(#[$meta])*
        ///
        /// | setting | default | Kafka's, if it is another one, and why |
        /// |---|---|---|
        $( #[doc = concat!("| [`", $name, "`](", stringify!($builder), "::", stringify!($field), ") | `",
            stringify!($default), "` | " $(, "`", $kafka, "`: ")? $(, $why)?, " |")] )+
        #[derive(Clone, Debug, PartialEq)]
        pub struct $config {
            $( pub(crate) $field: $type, )+
            /// What was set, and changes nothing.
            pub(crate) without_effect: Vec<String>,
        }

        impl $config {
            const WITHOUT_EFFECT: &[$crate::config::known::List] = &[$($($ignored),*)?];
            const REFUSED: &[$crate::config::known::List] = &[$($($refused),*)?];

            /// Starts from the defaults.
            ///
            /// # Examples
            /// ```
            #[doc = concat!("# use ottla::", stringify!($config), ";")]
            #[doc = concat!("let config = ", stringify!($config), "::builder().build()?;")]
            #[doc = concat!("assert_eq!(config, ", stringify!($config), "::default());")]
            /// # Ok::<(), ottla::Error>(())
            /// ```
            pub fn builder() -> $builder {
                $builder { config: Self::default() }
            }

            /// Every setting, in the order in which the source lists them.
            ///
            /// # Examples
            /// ```
            #[doc = concat!("# use ottla::", stringify!($config), ";")]
            #[doc = concat!("let settings = ", stringify!($config), "::settings();")]
            #[doc = concat!("assert!(settings.iter().any(|setting| setting.name == \"", $example, "\"));")]
            /// ```
            #[must_use]
            pub fn settings() -> Vec<$crate::config::Setting> {
                let defaults = Self::default();
                vec![ $( $crate::config::Setting {
                    name: $name,
                    kind: <$type as $crate::config::Value>::KIND,
                    default: $crate::config::Value::show(&defaults.$field),
                    doc: concat!($doc $(, "\n", $more)*).trim_ascii(),
                    kafka_default: [$($kafka)?].first().copied(),
                    difference: [$($why)?].first().copied(),
                }, )+ ]
            }

            /// Kafka's settings that are taken and change nothing here, each with the reason; `*` stands for any end of
            /// a name. So a list of settings that was made for a cluster can be used as it is.
            ///
            /// # Examples
            /// ```
            #[doc = concat!("# use ottla::", stringify!($config), ";")]
            #[doc = concat!("for (name, reason) in ", stringify!($config), "::settings_without_effect() {")]
            ///     assert!(!name.is_empty() && !reason.is_empty());
            /// }
            /// ```
            pub fn settings_without_effect() -> impl Iterator<Item = (&'static str, &'static str)> {
                Self::WITHOUT_EFFECT.iter().flat_map(|list| list.iter().copied())
            }

            /// The names that were [set](Self::builder) and change nothing, in order.
            ///
            /// # Examples
            /// ```
            #[doc = concat!("# use ottla::", stringify!($config), ";")]
            #[doc = concat!("assert!(", stringify!($config), "::default().without_effect().is_empty());")]
            /// ```
            #[must_use]
            pub fn without_effect(&self) -> &[String] {
                &self.without_effect
            }

            /// A builder that starts from these values.
            ///
            /// # Examples
            /// ```
            #[doc = concat!("# use ottla::", stringify!($config), ";")]
            #[doc = concat!("let config = ", stringify!($config), "::default();")]
            /// assert_eq!(config.to_builder().build()?, config);
            /// # Ok::<(), ottla::Error>(())
            /// ```
            pub fn to_builder(&self) -> $builder {
                $builder { config: self.clone() }
            }

            /// The value of the setting that Kafka calls `name`, as text that the builder's `set` takes; `None` if
            /// there is no such setting. Durations are whole milliseconds, sizes are bytes.
            ///
            /// # Examples
            /// ```
            #[doc = concat!("# use ottla::", stringify!($config), ";")]
            #[doc = concat!(
                "let config = ", stringify!($config), "::builder().set(\"", $example, "\", \"", $fine, "\")?.build()?;"
            )]
            #[doc = concat!("assert_eq!(config.value(\"", $example, "\").as_deref(), Some(\"", $fine, "\"));")]
            /// assert_eq!(config.value("no.such.setting"), None);
            /// # Ok::<(), ottla::Error>(())
            /// ```
            #[must_use]
            pub fn value(&self, name: &str) -> Option<String> {
                match name {
                    $( $name => Some($crate::config::Value::show(&self.$field)), )+
                    _ => None,
                }
            }

            $(
                #[doc = $doc]
                $(#[doc = $more])*
                #[doc = concat!("\n\nDefault: `", stringify!($default), "`. Kafka: `", $name, "`"
                    $(, ", `", $kafka, "`")? $(, ": ", $why)?, ".")]
                #[must_use]
                pub fn $field(&self) -> $type {
                    self.$field.clone()
                }
            )+
        }

        impl Default for $config {
            fn default() -> Self {
                Self { $( $field: $default, )+ without_effect: Vec::new() }
            }
        }

        #[doc = concat!(
            "Builder of [`", stringify!($config), "`]: a method for each setting, or [`set`](Self::set) with its name."
        )]
        ///
        /// ```
        #[doc = concat!("# use ottla::{", stringify!($config), ", ", stringify!($builder), "};")]
        #[doc = concat!("let builder: ", stringify!($builder), " = ", stringify!($config), "::builder();")]
        #[doc = concat!("let config = builder.set(\"", $example, "\", \"", $fine, "\")?.build()?;")]
        #[doc = concat!("assert_ne!(config, ", stringify!($config), "::default());")]
        /// # Ok::<(), ottla::Error>(())
        /// ```
        #[derive(Clone, Debug)]
        #[must_use]
        pub struct $builder {
            config: $config,
        }

        impl $builder {
            $(
                #[doc = $doc]
                $(#[doc = $more])*
                #[doc = concat!("\n\nDefault: `", stringify!($default), "`. Kafka: `", $name, "`"
                    $(, ", `", $kafka, "`")? $(, ": ", $why)?, ".")]
                pub fn $field(mut self, $field: $type) -> Self {
                    self.config.$field = $field;
                    self
                }
            )+

            /// Sets the setting that Kafka calls `name` from text. Durations are whole milliseconds, sizes are bytes.
            ///
            #[doc = concat!("A name that changes nothing here is taken, logged, and then in [`without_effect`](",
                stringify!($config), "::without_effect).")]
            ///
            /// # Errors
            /// [`Error::InvalidConfig`](crate::Error::InvalidConfig) if there is no such setting, with the name that is
            /// nearest to it; if this version lacks what Kafka does for it; or if it takes no such value.
            ///
            /// # Examples
            /// ```
            #[doc = concat!("# use ottla::{Error, ", stringify!($config), "};")]
            #[doc = concat!(
                "let builder = ", stringify!($config), "::builder().set(\"", $example, "\", \"", $fine, "\")?;"
            )]
            #[doc = concat!("let refused = builder.set(\"", $example, "\", \"many\");")]
            /// assert!(matches!(refused, Err(Error::InvalidConfig { .. })));
            /// # Ok::<(), Error>(())
            /// ```
            pub fn set(mut self, name: &str, value: &str) -> $crate::error::Result<Self> {
                let refused = |reason: String| $crate::error::Error::invalid_config(name, value, reason);
                match name {
                    $( $name => self.config.$field = $crate::config::Value::parse(value).map_err(refused)?, )+
                    _ => match $crate::config::known::find_in($config::WITHOUT_EFFECT, name) {
                        Some(reason) => {
                            log::warn!("{name} = {value} has no effect: {reason}");
                            self.config.without_effect.push(name.to_owned());
                        }
                        None => return Err(refused($crate::config::unknown_name(
                            name, $config::REFUSED, &$config::settings()
                        ))),
                    },
                }
                Ok(self)
            }

            /// Sets each of `settings`, pairs of Kafka's name and the value as text; a map of strings is one, too.
            ///
            /// # Errors
            /// As [`set`](Self::set), for the first that is refused.
            ///
            /// # Examples
            /// ```
            #[doc = concat!("# use ottla::", stringify!($config), ";")]
            #[doc = concat!(
                "let from_a_file = std::collections::BTreeMap::from([(\"", $example, "\", \"", $fine, "\")]);"
            )]
            #[doc = concat!("let config = ", stringify!($config), "::builder().set_all(&from_a_file)?.build()?;")]
            #[doc = concat!("assert_eq!(config.value(\"", $example, "\").as_deref(), Some(\"", $fine, "\"));")]
            /// # Ok::<(), ottla::Error>(())
            /// ```
            pub fn set_all<N: AsRef<str>, V: AsRef<str>>(
                self,
                settings: impl IntoIterator<Item = (N, V)>,
            ) -> $crate::error::Result<Self> {
                let mut settings = settings.into_iter();
                settings.try_fold(self, |builder, (name, value)| builder.set(name.as_ref(), value.as_ref()))
            }

            /// Checks the values against their ranges and each other.
            ///
            /// # Errors
            /// [`Error::InvalidConfig`](crate::Error::InvalidConfig), naming the setting.
            ///
            /// # Examples
            /// ```
            #[doc = concat!("# use ottla::{Error, ", stringify!($config), "};")]
            #[doc = concat!(
                "let refused = ", stringify!($config), "::builder().set(\"", $example, "\", \"", $wrong, "\")?.build();"
            )]
            /// assert!(matches!(refused, Err(Error::InvalidConfig { .. })));
            /// # Ok::<(), Error>(())
            /// ```
            pub fn build(self) -> $crate::error::Result<$config> {
                self.config.check()?;
                Ok(self.config)
            }
        }
    };
}
pub(crate) use settings;

#[cfg(test)]
#[expect(unreachable_pub, dead_code, reason = "the macro makes public items, and the tests use some of them")]
mod tests {
    use super::*;

    settings! {
        /// For the test.
        pub struct Sample, SampleBuilder, "count" = "7" not "0" {
            /// How long to wait.
            linger: Duration = Duration::from_millis(5), "linger.ms" kafka "0" because "it is for the test";
            /// How many.
            ///
            /// More than none.
            count: u32 = 3, "count" because "it is for the test";
            /// A name.
            name: Option<String> = None, "client.id";
        }
        without_effect [&[("socket.*", "there is no network")]]
        refused [&[("linger.days", "nobody waits that long")]]
    }

    impl Sample {
        fn check(&self) -> Result<()> {
            at_least("count", self.count, 1)
        }
    }

    #[test]
    fn a_setting_is_set_by_method_and_by_name() {
        let by_method = Sample::builder().linger(Duration::from_millis(7)).build().unwrap();
        let by_name = Sample::builder().set("linger.ms", "7").unwrap().build().unwrap();
        assert_eq!(by_method, by_name);
        assert_eq!(by_name.value("linger.ms").unwrap(), "7");
        assert_eq!(Sample::settings()[0].default, "5");
    }

    #[test]
    fn a_refusal_names_the_setting() {
        let refused = |result: Result<Sample>| result.unwrap_err().to_string();
        assert_eq!(refused(Sample::builder().count(0).build()), "count = 0: it has to be at least 1");
        let parsed = Sample::builder().set("linger.ms", "soon").and_then(SampleBuilder::build);
        assert!(refused(parsed).starts_with("linger.ms = soon: expected milliseconds"));
        let unknown = Sample::builder().set("linger", "1").and_then(SampleBuilder::build);
        assert_eq!(refused(unknown), "linger = 1: there is no such setting; the nearest is linger.ms");
        let unknown = Sample::builder().set("acks", "1").and_then(SampleBuilder::build);
        assert_eq!(refused(unknown), "acks = 1: there is no such setting");
        let lacking = Sample::builder().set("linger.days", "1").and_then(SampleBuilder::build);
        assert_eq!(refused(lacking), "linger.days = 1: nobody waits that long");
    }

    #[test]
    fn what_has_no_effect_is_taken_and_remembered() {
        let settings = [("socket.timeout.ms", "soon"), ("count", "4")];
        let config = Sample::builder().set_all(settings).unwrap().build().unwrap();
        assert_eq!((config.without_effect(), config.count()), (&["socket.timeout.ms".to_owned()][..], 4));
        assert_eq!(Sample::settings_without_effect().collect::<Vec<_>>(), [("socket.*", "there is no network")]);
        assert_eq!(config.to_builder().count(5).build().unwrap().without_effect().len(), 1);
    }

    #[test]
    fn settings_say_how_they_differ_from_kafka() {
        let differences: Vec<_> =
            Sample::settings().iter().map(|setting| (setting.kafka_default, setting.difference)).collect();
        let why = Some("it is for the test");
        assert_eq!(differences, [(Some("0"), why), (None, why), (None, None)]);
    }
}
