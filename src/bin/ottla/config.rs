//! `ottla config`: every setting, as the library defines it.

use ottla::{ConsumerConfig, EngineConfig, ProducerConfig, Setting, TopicConfig};
use serde_json::{Value, json};

use crate::Status;
use crate::arguments::ConfigKind;
use crate::output::{Failure, Output};

/// How long a line gets.
const WIDTH: usize = 100;

/// The settings of one kind.
struct Kind {
    name: &'static str,
    settings: Vec<Setting>,
    without_effect: Vec<(&'static str, &'static str)>,
}

pub(crate) fn run(kind: Option<ConfigKind>, output: &mut Output) -> Result<Status, Failure> {
    let kinds = match kind {
        Some(kind) => vec![kind],
        None => vec![ConfigKind::Engine, ConfigKind::Topic, ConfigKind::Producer, ConfigKind::Consumer],
    };
    for (index, kind) in kinds.into_iter().map(settings).enumerate() {
        if output.is_json {
            json_lines(&kind, output)?;
        } else {
            if index > 0 {
                output.line("")?;
            }
            text(&kind, output)?;
        }
    }
    output.flush()?;
    Ok(Status::Done)
}

fn settings(kind: ConfigKind) -> Kind {
    let (name, settings, without_effect) = match kind {
        ConfigKind::Engine => ("engine", EngineConfig::settings(), EngineConfig::settings_without_effect().collect()),
        ConfigKind::Topic => ("topic", TopicConfig::settings(), TopicConfig::settings_without_effect().collect()),
        ConfigKind::Producer => {
            ("producer", ProducerConfig::settings(), ProducerConfig::settings_without_effect().collect())
        }
        ConfigKind::Consumer => {
            ("consumer", ConsumerConfig::settings(), ConsumerConfig::settings_without_effect().collect())
        }
    };
    Kind { name, settings, without_effect }
}

fn json_lines(kind: &Kind, output: &mut Output) -> Result<(), Failure> {
    for setting in &kind.settings {
        output.line(json!({
            "kind": kind.name,
            "name": setting.name,
            "type": setting.kind,
            "default": setting.default,
            "kafka_default": kafka_default(setting),
            "difference": setting.difference,
            "doc": setting.doc,
        }))?;
    }
    for (name, reason) in &kind.without_effect {
        output.line(json!({ "kind": kind.name, "name": name, "without_effect": reason }))?;
    }
    Ok(())
}

/// Kafka's default; null if it has no such setting.
fn kafka_default(setting: &Setting) -> Value {
    match (setting.kafka_default, setting.difference) {
        (Some(other), _) => other.into(),
        (None, None) => setting.default.as_str().into(),
        (None, Some(_)) => Value::Null,
    }
}

fn text(kind: &Kind, output: &mut Output) -> Result<(), Failure> {
    output.line(format_args!("Settings of the kind {}", kind.name))?;
    for setting in &kind.settings {
        let default = if setting.default.is_empty() { "none" } else { &setting.default };
        output.line("")?;
        output.line(format_args!("  {}", setting.name))?;
        wrap(&format!("{}; default: {default}", setting.kind), 6, output)?;
        for paragraph in setting.doc.split("\n\n") {
            wrap(paragraph, 6, output)?;
        }
        match (setting.kafka_default, setting.difference) {
            (Some(other), Some(why)) => {
                wrap(&format!("Kafka's default: {other}; not here, because {why}."), 6, output)?
            }
            (None, Some(why)) => wrap(&format!("Kafka has no such setting: {why}."), 6, output)?,
            _ => {}
        }
    }
    if !kind.without_effect.is_empty() {
        output.line("")?;
        output.line("  Taken without effect, since here")?;
        for (name, reason) in &kind.without_effect {
            wrap(&format!("{name}: {reason}"), 6, output)?;
        }
    }
    Ok(())
}

/// Prints words, as many a line as fit, behind blanks.
fn wrap(text: &str, indent: usize, output: &mut Output) -> Result<(), Failure> {
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && indent + line.len() + 1 + word.len() > WIDTH {
            output.line(format_args!("{:indent$}{line}", ""))?;
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    output.line(format_args!("{:indent$}{line}", ""))
}
