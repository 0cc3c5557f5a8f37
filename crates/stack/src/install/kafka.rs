//! Apache Kafka: the jars from Maven, a formatted storage to copy, and a class-data archive that
//! halves the time a broker needs to start.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::{checksum, tool};
use crate::cache::{self, Cache};
use crate::kafka::{Kafka, KafkaOptions};

const NAME: &str = "kafka-4.3.1";
const POM: &str = include_str!("kafka/pom.xml");
/// Of every jar, as `sha256sum` prints it.
const SHA256: &str = include_str!("kafka/jars.sha256");
/// The goal with its version, so that Maven does not choose one.
const COPY: &str = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies";
const OLDEST_JAVA: u32 = 17;
const ARCHIVE: &str = "kafka.jsa";

/// An installed Kafka and the Java that runs it.
#[derive(Debug, Clone)]
pub struct KafkaHome {
    /// The `java` program.
    pub java: PathBuf,
    /// All jars, always in the same order: a class-data archive fits one class path only.
    pub class_path: String,
    /// What `format` writes besides `meta.properties`: the features of a new cluster.
    pub(crate) bootstrap_checkpoint: PathBuf,
    /// `None` when this Java could not make one; the broker then starts more slowly.
    pub(crate) archive: Option<PathBuf>,
}

impl KafkaHome {
    /// `java` with the class path set; the class and its arguments are up to the caller.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.java);
        command.env("CLASSPATH", &self.class_path);
        command
    }
}

/// An installed Kafka, installed if it is not there yet (54 MB to download).
///
/// # Errors
/// When Java or Maven is missing, the repository cannot be reached, or a checksum differs.
pub fn kafka(cache: &Cache) -> Result<KafkaHome> {
    let java = tool::JAVA.find()?;
    let folder = cache.ensure(NAME, |folder| install(folder, &java))?;
    let mut home = KafkaHome {
        java,
        class_path: class_path(&folder.join("libs"))?,
        bootstrap_checkpoint: folder.join("bootstrap.checkpoint"),
        archive: None,
    };
    let archive = archive(cache, &home)?.join(ARCHIVE);
    home.archive = archive.exists().then_some(archive);
    Ok(home)
}

fn install(folder: &Path, java: &Path) -> Result<()> {
    check_java(java)?;
    let mut maven = tool::MAVEN.command(["-q", "-B", COPY, "-DoutputDirectory=libs"])?;
    // A project's or user's options must not turn into options of this call.
    maven.env_remove("MAVEN_ARGS");
    fs::write(folder.join("pom.xml"), POM)?;
    tool::run("Kafka: downloading (54 MB)", maven, folder)?;
    let libs = folder.join("libs");
    checksum::verify_folder(&libs, SHA256)?;
    format_storage(folder, java, &class_path(&libs)?)
}

/// Formats a storage once, so that a new broker needs a copied file instead of a Java process.
fn format_storage(folder: &Path, java: &Path, class_path: &str) -> Result<()> {
    let data = folder.join("data");
    let properties = folder.join("format.properties");
    let text = format!(
        "process.roles=broker,controller\nnode.id=1\nlog.dirs={}\n\
         controller.quorum.voters=1@127.0.0.1:1\ncontroller.listener.names=CONTROLLER\n\
         listeners=PLAINTEXT://127.0.0.1:2,CONTROLLER://127.0.0.1:1\n",
        data.display()
    );
    fs::write(&properties, text)?;
    let mut format = Command::new(java);
    format.env("CLASSPATH", class_path).args(["kafka.tools.StorageTool", "format", "-t"]);
    // Any cluster id: only the checkpoint is kept, and it does not hold the id.
    format.arg("AAAAAAAAAAAAAAAAAAAAAQ").arg("-c").arg(&properties);
    tool::run("Kafka: formatting", format, folder)?;
    fs::rename(data.join("bootstrap.checkpoint"), folder.join("bootstrap.checkpoint"))
        .context("the formatted storage has no bootstrap.checkpoint")?;
    fs::remove_dir_all(&data)?;
    fs::remove_file(&properties)?;
    Ok(())
}

/// The folder of the class-data archive of this Java; the file is not in it when Java refused.
fn archive(cache: &Cache, home: &KafkaHome) -> Result<PathBuf> {
    // Java ignores an archive of another Java, so each gets its own.
    let program = fs::canonicalize(&home.java)?;
    let found = fs::metadata(&program)?;
    let identity = format!("{} {} {}", program.display(), found.len(), found.mtime());
    let name = format!("{NAME}-classes-{}", checksum::short_name(&identity));
    cache.ensure(&name, |folder| {
        if let Err(error) = record_classes(folder, home) {
            cache::progress(&format!("Kafka starts without a class-data archive: {error:#}"));
            fs::remove_file(folder.join(ARCHIVE)).ok();
            fs::write(folder.join("why-not"), format!("{error:#}"))?;
        }
        Ok(())
    })
}

fn record_classes(folder: &Path, home: &KafkaHome) -> Result<()> {
    cache::progress("Kafka: recording its classes for quick starts ...");
    let archive = folder.join(ARCHIVE);
    let work = folder.join("broker");
    let options = KafkaOptions {
        java: vec![format!("-XX:ArchiveClassesAtExit={}", archive.display())],
        ..KafkaOptions::default()
    };
    let kafka = Kafka::start_from(home, &work, options)?;
    // Java writes the archive while it exits.
    kafka.process().stop(Duration::from_mins(2))?;
    if !archive.exists() {
        bail!("Java has written none\n{}", kafka.process().log_tail());
    }
    drop(kafka);
    try_archive(home, &archive)?;
    fs::remove_dir_all(&work).context("cannot remove the storage of the recorded broker")
}

/// Java maps the archive without reading it through: one that was cut short, as on a full disk,
/// would crash every broker. `-Xshare:on` fails where a broker would go on without.
fn try_archive(home: &KafkaHome, archive: &Path) -> Result<()> {
    let mut java = home.command();
    java.arg("-Xshare:on").arg(format!("-XX:SharedArchiveFile={}", archive.display()));
    java.args(["-XX:+UseSerialGC", "kafka.tools.StorageTool", "random-uuid"]);
    let output = java.stdin(Stdio::null()).output().context("java does not run")?;
    if !output.status.success() {
        bail!(
            "Java cannot use what it has written: {}\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

fn class_path(libs: &Path) -> Result<String> {
    let mut jars = Vec::new();
    for entry in fs::read_dir(libs).with_context(|| format!("cannot read {}", libs.display()))? {
        jars.push(entry?.path().display().to_string());
    }
    jars.sort();
    Ok(jars.join(":"))
}

fn check_java(java: &Path) -> Result<()> {
    let output = Command::new(java)
        .arg("-version")
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{} does not run", java.display()))?;
    let text = String::from_utf8_lossy(&output.stderr);
    match major_version(&text) {
        Some(major) if major < OLDEST_JAVA => {
            bail!("{} is Java {major}. {}", java.display(), tool::JAVA.advice())
        }
        // An unknown way to say the version is no reason to refuse a Java that may do.
        Some(_) | None => Ok(()),
    }
}

/// `openjdk version "17.0.15" 2025-04-15` is 17, `java version "1.8.0_292"` is 8.
fn major_version(text: &str) -> Option<u32> {
    let version = text.split('"').nth(1)?;
    let mut numbers = version.split(['.', '-', '_']);
    let first = numbers.next()?.parse().ok()?;
    if first == 1 { numbers.next()?.parse().ok() } else { Some(first) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_a_java_version_is_read() {
        assert_eq!(major_version("openjdk version \"17.0.15\" 2025-04-15\nOpenJDK"), Some(17));
        assert_eq!(major_version("openjdk version \"25\" 2025-09-16"), Some(25));
        assert_eq!(major_version("openjdk version \"26-ea\""), Some(26));
        assert_eq!(major_version("java version \"1.8.0_292\""), Some(8));
        assert_eq!(major_version("no such thing"), None);
    }

    #[test]
    fn the_pinned_jars_are_those_of_the_pom() {
        assert_eq!(SHA256.lines().count(), 92);
        for jar in ["kafka_2.13-4.3.1.jar", "kafka-tools-4.3.1.jar", "slf4j-simple-1.7.36.jar"] {
            assert!(SHA256.contains(jar), "{jar}");
        }
    }
}
