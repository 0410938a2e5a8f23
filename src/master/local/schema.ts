// The tables of the embedded master. A released step is never edited: a change is one more step, and the number of
// steps a database has taken is its `user_version`.

/** `application_id` of our databases ("SLGM"): another program's file is never touched. */
export const applicationId = 0x53_4c_47_4d

// The order of rows is the order in which they were first written: `format` numbers partitions, and requests take the
// first free one. Timestamps are milliseconds since 1970. A partition keeps its timestamp when it becomes free, so that
// its next instance never gets an older or an equal one.
const first = `
  create table computer (
    id text primary key,
    address text,
    netmask text
  ) strict;
  create table supply (
    computer text not null references computer on delete cascade,
    url text not null,
    requested text not null,
    primary key (computer, url)
  ) strict;
  create table partition (
    computer text not null references computer on delete cascade,
    id text not null,
    addresses text not null,
    tap text not null,
    timestamp integer,
    primary key (computer, id)
  ) strict;
  create table instance (
    computer text not null,
    partition text not null,
    title text not null,
    root text not null,
    requester text,
    requested text not null,
    software text not null,
    type text not null,
    parameters text not null,
    connection text,
    filter text not null,
    access_status text,
    primary key (computer, partition),
    foreign key (computer, partition) references partition on delete cascade
  ) strict;
  create unique index instance_title on instance (root, title);
  create table shared (
    computer text not null,
    reference text not null,
    partition text not null,
    title text not null,
    root text not null,
    type text not null,
    parameters text not null,
    connection text,
    primary key (computer, reference),
    foreign key (computer, partition) references instance on delete cascade
  ) strict;
  create unique index shared_title on shared (computer, root, title);
  create index shared_host on shared (computer, partition);
  create table report (
    seq integer primary key autoincrement,
    at integer not null,
    computer text not null,
    subject text not null,
    name text not null,
    state text not null,
    message text not null
  ) strict;
  create index report_subject on report (computer, subject, name, seq);
`

export const steps: ReadonlyArray<string> = [first]
