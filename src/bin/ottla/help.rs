//! What `--help` says behind the options: how a command is used.

pub(crate) const OTTLA: &str = "\
Try it:
  ottla demo                              see records survive SIGKILL
  seq 5 | ottla -d data produce numbers   store five records in data/
  ottla -d data consume numbers           print them

One process at a time produces, commits or changes topics; any number of others may look meanwhile.
Exit status: 0 done, 1 findings (said on standard error), 2 error.";

pub(crate) const OTTLA_LONG: &str = "\
Try it:
  ottla demo                              see records survive SIGKILL
  seq 5 | ottla -d data produce numbers   store five records in data/
  ottla -d data consume numbers           print them

Output:
  What somebody reads goes to standard output; what they should know of, such as what opening the
  directory had to mend, goes to standard error, a line each. A reader of the output that goes
  away ends the command quietly.

Directory:
  One process at a time has a directory open: to produce, to consume with a group, to create,
  alter or delete topics, to reset or delete groups, or to ask for their members. Everything else
  only looks: it takes no lock, changes nothing and needs no permission to write, so it works beside
  that process, and behind one that was killed. A command that only looks makes no directory.

Exit status:
  0  done
  1  findings, such as damaged records that were passed over; said on standard error
  2  error, or a command line that makes no sense";

pub(crate) const PRODUCE: &str = "\
Examples:
  Store the lines of files, and say from where they are:
    ottla -d data produce access web-1/*.log --header host=web-1
  Store lines of key and value, compressed:
    printf 'o-17:paid\\n' | ottla -d data produce orders --key-separator : --compression zstd:9
  Copy a topic, with keys, headers and timestamps:
    ottla -d a consume orders --json | ottla -d b produce orders --input json
  See how it went:
    ottla -d data produce access access.log --config linger.ms=50 --stats
  Hear of each record when it is on the disk:
    tail -f app.log | ottla -d data produce app --json";

pub(crate) const CONSUME: &str = "\
Examples:
  Print everything, with partition, offset, key and headers:
    ottla -d data consume orders --format '{partition} {offset} {key} {headers} {value}'
  Print what a running application stores, as it comes:
    ottla -d data consume orders --follow
  Ten records from a time on:
    ottla -d data consume orders --from @2026-11-26T08:00:00Z --max-records 10
  Go on where the group has stopped, and wait for more:
    ottla -d data consume orders events --group billing --follow
  See how it went:
    ottla -d data consume orders --stats > /dev/null
  Read around damage:
    ottla -d data consume orders --on-corrupt skip";

pub(crate) const REPLAY: &str = "\
Examples:
  What happened to a key on one morning, in a broker's directory:
    ottla replay /var/lib/kafka --key o-17 --from @2026-11-26T08:00:00Z --to @2026-11-26T12:00:00Z
  The last ten records of a partition, the latest first:
    ottla replay data/log/orders-0 --backwards --max-records 10
  Records that mention a card number, without those of aborted transactions, as JSON:
    ottla replay data --grep '[0-9]{16}' --committed --json
  An hour at ten times its speed:
    ottla replay data --topic orders --from @2026-11-26T08:00:00Z --speed 10x
  What is left of a damaged directory, as a new one:
    ottla replay data --into rescued

Partitions:
  Several are merged by time, each in the order of its offsets; a record that is older than the one
  before it in its partition comes late.

Findings:
  A line for each, `file: position: offsets: kind: what`, as `verify` prints it, when it is met.
  With --json {\"file\",\"position\",\"first_offset\",\"last_offset\",\"kind\",\"detail\"}.

Summary, with --json:
  {\"records\",\"records_passed\",\"batches\",\"batches_passed\",\"control_batches\",
  \"uncommitted_batches\",\"batches_without_time\",\"bytes\",\"first_timestamp\",
  \"last_timestamp\",\"codecs\":{name:batches},\"findings\",\"seconds\"}, and \"stored\" with
  --into. Records of before Kafka 0.10 have no time: with a first time they are not asked for.

Exit status: 0 done, 1 findings, 2 error.";

pub(crate) const VERIFY: &str = "\
It prints a line for each finding, `file: position: offsets: kind: what`, with - where there is
none, and a summary. The kinds:
  damage      what was once on the disk is not there any more
  torn        no whole batch behind what is durable, as a crash leaves it; the next opening
              cuts it off
  cache       an index or a snapshot does not fit; it is made again
  name        a name that does not belong there
  not-read    a format or a codec that this program does not read
  unreadable  the operating system refused

With --json it prints {\"file\",\"position\",\"first_offset\",\"last_offset\",\"kind\",\"detail\"}
for each, and in the end {\"findings\",\"partitions\",\"segments\",\"batches\",\"records\",\"bytes\"}.

Examples:
  A directory of topics:
    ottla -d data verify
  The log.dir of a Kafka broker, or one partition of it:
    ottla verify /var/lib/kafka/orders-0

Exit status: 0 nothing found, 1 findings, 2 something could not be read.";

pub(crate) const DUMP: &str = "\
A batch of a segment is a line, and a second one for what not every batch has:
  V          the format: 2, or 0 and 1 of what brokers wrote before Kafka 0.11
  CRC        the checksum, and whether it holds
  MAX TIME   the largest time of its records
With --records each record follows: offset, time, key: value, headers. Of what is long the first
32 bytes are shown.

With --json it prints an object a line; keys and values are whole there. \"kind\" says what it is:
file, batch, record, control, offset_index, time_index, zero_tail, aborted, producer, epoch,
checkpoint, property, clean_shutdown, journal, frame, slot, finding.

Examples:
  The batches of a partition, and what is in them:
    ottla dump --records data/log/orders-0/*.log
  Whether the indexes of a broker's partition fit its segments:
    ottla dump --index-check /var/lib/kafka/orders-0/*index
  Who committed what, and when:
    ottla dump data/groups/billing.offsets
  All offsets of a key:
    ottla dump --records --json data/log/orders-*/*.log | jq -c 'select(.key == \"o-17\")'

Exit status: 0 nothing found, 1 findings, 2 something could not be read.";

pub(crate) const REPAIR: &str = "\
It prints a line for each step, `file: position: lost offsets: action: what`, with - where there
is none, and a summary. The actions:
  replace     what cannot be read goes, and what is known is put in its place
  rebuild     made again from other files; nothing is lost
  cut         no whole batch behind what is durable: cut off, as any opening does
  remove      it does not belong there: moved to the quarantine
  leave       it stays as it is

With --json it prints
{\"file\",\"position\",\"first_offset\",\"last_offset\",\"action\",\"detail\",\"kept\"} for each,
and in the end {\"steps\",\"left\",\"lost_offsets\",\"executed\",\"remaining\"}.

Examples:
  See what would be done; it may run beside a program that has the directory open:
    ottla -d data repair
  Do it, when nobody has the directory open, and see that nothing is left:
    ottla -d data repair --execute
    ottla -d data verify

Exit status: 0 nothing to repair, or all of it done; 1 there is something to repair, or something
stays as it is; 2 error.";

pub(crate) const EXPORT: &str = "\
PATH gets the partitions' directories, the checkpoints of a clean shutdown, and group-offsets.csv,
which kafka-consumer-groups --reset-offsets --from-file reads. Batches stay as they are but for
their leader epoch, which becomes 0, and producers whose ids another cluster gave: they have none.
Nothing has the name PATH before it is whole.

Segments may be links to those of DIR, or share their blocks: copy PATH to where a broker has its
log.dir, and change neither owner nor permissions in place.

With --json it prints for each partition {\"topic\",\"partition\",\"topic_id\",\"log_start\",
\"log_end\",\"records\",\"segments\",\"bytes\",\"shared_bytes\"}, for each group
{\"group\",\"partitions\"}, and in the end {\"path\",\"topics\",\"partitions\",\"records\",
\"bytes\",\"shared_bytes\",\"groups\",\"group_offsets\",\"steps\"}.

Examples:
  All topics, and the offsets of all groups:
    ottla -d data export /tmp/handover
  One topic, and one group:
    ottla -d data export /tmp/handover --topic orders --group billing";

pub(crate) const IMPORT: &str = "\
PATH is read, and nothing in it is locked or changed; a broker that uses it should be stopped. A
cluster's own topics are left out unless they are named. Groups' offsets are read from
__consumer_offsets, which has to lie beside the topics.

With --json it prints for each partition {\"topic\",\"partition\",\"topic_id\",\"log_start\",
\"log_end\",\"records\",\"aborted\",\"open\",\"missing\"}, for each group
{\"group\",\"partitions\"}, for each finding what `verify` prints, for what was passed over
{\"passed\",\"count\"}, and in the end {\"topics\",\"partitions\",\"records\",\"groups\",
\"findings\",\"complete\"}.

Examples:
  All topics of a broker, and the offsets of all groups:
    ottla -d data import /var/lib/kafka
  One topic, and one group:
    ottla -d data import /var/lib/kafka --topic orders --group billing
  One partition:
    ottla -d data import /var/lib/kafka/orders-0

Exit status: 0 all of it was imported; 1 something was left out, said on standard error; 2 error.";

pub(crate) const CONFIG: &str = "\
With --json it prints for each setting
{\"kind\",\"name\",\"type\",\"default\",\"kafka_default\",\"difference\",\"doc\"}, and for each of
Kafka's names that are taken and change nothing {\"kind\",\"name\",\"without_effect\"}.

Examples:
  ottla config producer
  ottla config --json | jq -r 'select(.difference) | .name'

Where they are given:
  topic     topic create --config K=V
  producer  produce --config K=V
  consumer  consume --config K=V
  engine    EngineConfig, in a program";

pub(crate) const COMPLETIONS: &str = "\
Examples:
  ottla completions bash > ~/.local/share/bash-completion/completions/ottla
  ottla completions zsh > ~/.zfunc/_ottla
  ottla completions fish > ~/.config/fish/completions/ottla.fish";

pub(crate) const DEMO: &str = "\
Examples:
  ottla demo
  ottla demo access.log
  ottla -d data demo access.log    and keep the directory, to be looked at";

pub(crate) const TOPIC_CREATE: &str = "\
Examples:
  ottla -d data topic create orders --partitions 4
  ottla -d data topic create events --config segment.bytes=67108864 --config flush.ms=1000";

pub(crate) const TOPIC_ALTER: &str = "\
Examples:
  ottla -d data topic alter orders --partitions 8    there is no way back";

pub(crate) const TOPIC_LIST: &str = "\
Examples:
  ottla -d data topic list
  ottla -d data topic list --json    with ids and partitions";

pub(crate) const TOPIC_DESCRIBE: &str = "\
Offsets:
  LOG START       the first record that is there
  HIGH WATERMARK  one past the last record that consumers see
  DURABLE END     one past the last record that is known to be on the disk

Examples:
  ottla -d data topic describe orders";

pub(crate) const TOPIC_DELETE: &str = "\
Examples:
  ottla -d data topic delete orders    there is no way back";

pub(crate) const GROUP_LIST: &str = "\
Examples:
  ottla -d data group list";

pub(crate) const GROUP_DESCRIBE: &str = "\
Columns:
  COMMITTED  the offset at which it goes on
  LOG END    one past the last record that consumers see
  LAG        how many offsets lie between them, without what was deleted
  LAG BYTES  the size of the batches that have them, as they are stored
  BEHIND     how old the next record is

With --json {\"topic\",\"partition\",\"committed\",\"log_end\",\"lag\",\"lag_bytes\",\"lag_ms\"}.

Examples:
  ottla -d data group describe billing
  ottla -d data group describe billing --json | jq .lag";

pub(crate) const GROUP_MEMBERS: &str = "\
Examples:
  ottla -d data group members billing";

pub(crate) const GROUP_RESET_USAGE: &str = "\
ottla group reset <GROUP> <--topic <T[:P[,P..]]>...|--all-topics> <WHERE TO> [--execute]";

pub(crate) const GROUP_RESET: &str = "\
Without --execute it only reads, and works beside a program that has the directory open. To do it,
the directory has to be free: close the program first.

With --json {\"topic\",\"partition\",\"before\",\"after\"} for each partition.

Examples:
  See what reading all again would be, and do it:
    ottla -d data group reset billing --topic orders --to-earliest
    ottla -d data group reset billing --topic orders --to-earliest --execute
  All that it reads, from yesterday morning on:
    ottla -d data group reset billing --all-topics --to-datetime 2026-11-25T08:00:00Z --execute
  The last hour once more, of two partitions:
    ottla -d data group reset billing --topic orders:0,2 --by-duration PT1H --execute
  One record further, past one that it cannot process:
    ottla -d data group reset billing --topic orders:1 --shift-by 1 --execute";

pub(crate) const GROUP_DELETE: &str = "\
Examples:
  ottla -d data group delete billing trial    there is no way back";
