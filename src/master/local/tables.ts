// The embedded master's statements, typed. Everything here is synchronous and may throw what SQLite throws: call it
// inside Store.transaction only, which turns exceptions into StoreError.
import type { DatabaseSync, SQLInputValue, StatementSync } from "node:sqlite"
import * as Schema from "effect/Schema"
import { Allocated, Computer, Partition, ReportRow, Shared, Supply } from "./rows.ts"
import type { Address, Instance, ReportState, Tap } from "./rows.ts"

type Arguments = Record<string, SQLInputValue>

/** Reports kept for each subject; the oldest goes first. */
export const reportsKept = 100
/** Characters kept of a report's text. What went wrong stands at its end. */
export const messageKept = 65_536

const decoders = {
  computer: Schema.decodeUnknownSync(Computer),
  supply: Schema.decodeUnknownSync(Supply),
  partition: Schema.decodeUnknownSync(Partition),
  allocated: Schema.decodeUnknownSync(Allocated),
  shared: Schema.decodeUnknownSync(Shared),
  report: Schema.decodeUnknownSync(ReportRow),
}

const allocated = `
  select p.*, i.title, i.root, i.requester, i.requested, i.software, i.type, i.parameters, i.connection, i.filter,
    i.access_status as accessStatus
  from instance i join partition p on p.computer = i.computer and p.id = i.partition`

export class Tables {
  readonly #database: DatabaseSync
  readonly #statements = new Map<string, StatementSync>()

  constructor(database: DatabaseSync) {
    this.#database = database
  }

  #prepare(sql: string): StatementSync {
    const known = this.#statements.get(sql)
    if (known !== undefined) return known
    const statement = this.#database.prepare(sql)
    this.#statements.set(sql, statement)
    return statement
  }

  #all<A>(decode: (row: unknown) => A, sql: string, parameters: Arguments = {}): ReadonlyArray<A> {
    return this.#prepare(sql)
      .all(parameters)
      .map((row) => decode(row))
  }

  #one<A>(decode: (row: unknown) => A, sql: string, parameters: Arguments): A | undefined {
    const row = this.#prepare(sql).get(parameters)
    return row === undefined ? undefined : decode(row)
  }

  /** The number of rows changed. */
  #run(sql: string, parameters: Arguments): number {
    return Number(this.#prepare(sql).run(parameters).changes)
  }

  computers() {
    return this.#all(decoders.computer, "select * from computer order by rowid")
  }

  computer(id: string) {
    return this.#one(decoders.computer, "select * from computer where id = :id", { id })
  }

  saveComputer(computer: Computer) {
    this.#run(
      `insert into computer (id, address, netmask) values (:id, :address, :netmask)
       on conflict do update set address = excluded.address, netmask = excluded.netmask`,
      { ...computer },
    )
  }

  supplies(computer: string) {
    return this.#all(decoders.supply, "select * from supply where computer = :computer order by rowid", { computer })
  }

  supply(computer: string, url: string) {
    const sql = "select * from supply where computer = :computer and url = :url"
    return this.#one(decoders.supply, sql, { computer, url })
  }

  saveSupply(supply: Supply) {
    this.#run(
      `insert into supply (computer, url, requested) values (:computer, :url, :requested)
       on conflict do update set requested = excluded.requested`,
      { ...supply },
    )
  }

  removeSupply(computer: string, url: string) {
    this.#run("delete from supply where computer = :computer and url = :url", { computer, url })
  }

  partitions(computer: string) {
    return this.#all(decoders.partition, "select * from partition where computer = :computer order by rowid", {
      computer,
    })
  }

  partition(computer: string, id: string) {
    const sql = "select * from partition where computer = :computer and id = :id"
    return this.#one(decoders.partition, sql, { computer, id })
  }

  /** The first partition of `computer` without an instance. */
  freePartition(computer: string) {
    const sql = `select * from partition p where computer = :computer and not exists
      (select 1 from instance i where i.computer = p.computer and i.partition = p.id) order by rowid limit 1`
    return this.#one(decoders.partition, sql, { computer })
  }

  /** Adds a partition, or gives a known one its new addresses. */
  savePartition(computer: string, id: string, addresses: ReadonlyArray<Address>, tap: Tap | null) {
    this.#run(
      `insert into partition (computer, id, addresses, tap) values (:computer, :id, :addresses, :tap)
       on conflict do update set addresses = excluded.addresses, tap = excluded.tap`,
      { computer, id, addresses: JSON.stringify(addresses), tap: JSON.stringify(tap) },
    )
  }

  /** Removes a partition with its instance and the shared instances that it hosts. */
  removePartition(computer: string, id: string) {
    this.#run("delete from partition where computer = :computer and id = :id", { computer, id })
  }

  instances(computer: string) {
    return this.#all(decoders.allocated, `${allocated} where p.computer = :computer order by p.rowid`, { computer })
  }

  instance(computer: string, id: string) {
    return this.#one(decoders.allocated, `${allocated} where p.computer = :computer and p.id = :id`, { computer, id })
  }

  instanceByTitle(root: string, title: string) {
    return this.#one(decoders.allocated, `${allocated} where i.root = :root and i.title = :title`, { root, title })
  }

  /** The instances requested by the tree's root or by any of its members, without the root itself. */
  descendants(root: string) {
    return this.#all(decoders.allocated, `${allocated} where i.root = :root order by i.title`, { root })
  }

  /** All instances of the tree that an instance is part of, the root first. */
  tree({ root, title }: Pick<Instance, "root" | "title">) {
    const rootTitle = root === "" ? title : root
    const first = this.instanceByTitle("", rootTitle)
    return [...(first === undefined ? [] : [first]), ...this.descendants(rootTitle)]
  }

  saveInstance(computer: string, partition: string, instance: Instance) {
    this.#run(
      `insert into instance (computer, partition, title, root, requester, requested, software, type,
         parameters, connection, filter, access_status)
       values (:computer, :partition, :title, :root, :requester, :requested, :software, :type,
         :parameters, :connection, :filter, :accessStatus)
       on conflict (computer, partition) do update set title = excluded.title, root = excluded.root,
         requester = excluded.requester, requested = excluded.requested, software = excluded.software,
         type = excluded.type, parameters = excluded.parameters, connection = excluded.connection,
         filter = excluded.filter, access_status = excluded.access_status`,
      {
        computer,
        partition,
        title: instance.title,
        root: instance.root,
        requester: instance.requester,
        requested: instance.requested,
        software: instance.software,
        type: instance.type,
        parameters: instance.parameters,
        connection: instance.connection,
        filter: instance.filter,
        accessStatus: instance.accessStatus,
      },
    )
  }

  /** Frees the partition; the shared instances that it hosts go with its instance. */
  removeInstance(computer: string, partition: string) {
    this.#run("delete from instance where computer = :computer and partition = :partition", { computer, partition })
  }

  /** Moves the timestamp: to `now`, or just beyond the last one when the clock stood still or went back. */
  touch(computer: string, id: string, now: number) {
    this.#run(
      `update partition set timestamp = max(:now, coalesce(timestamp + 1, :now))
       where computer = :computer and id = :id`,
      { computer, id, now },
    )
  }

  sharedOn(computer: string, partition: string) {
    const sql = "select * from shared where computer = :computer and partition = :partition order by rowid"
    return this.#all(decoders.shared, sql, { computer, partition })
  }

  sharedByTitle(computer: string, root: string, title: string) {
    const sql = "select * from shared where computer = :computer and root = :root and title = :title"
    return this.#one(decoders.shared, sql, { computer, root, title })
  }

  sharedByReference(computer: string, reference: string) {
    const sql = "select * from shared where computer = :computer and reference = :reference"
    return this.#one(decoders.shared, sql, { computer, reference })
  }

  /** Every shared instance that the tree of `root` requested, on any computer. */
  sharedOfTree(root: string) {
    return this.#all(decoders.shared, "select * from shared where root = :root order by rowid", { root })
  }

  saveShared(shared: Shared) {
    this.#run(
      `insert into shared (computer, reference, partition, title, root, type, parameters, connection)
       values (:computer, :reference, :partition, :title, :root, :type, :parameters, :connection)
       on conflict (computer, reference) do update set partition = excluded.partition, title = excluded.title,
         root = excluded.root, type = excluded.type, parameters = excluded.parameters,
         connection = excluded.connection`,
      { ...shared },
    )
  }

  removeShared(computer: string, reference: string) {
    this.#run("delete from shared where computer = :computer and reference = :reference", { computer, reference })
  }

  addReport(report: Omit<ReportRow, "seq">) {
    const { computer, subject, name } = report
    this.#run(
      `insert into report (at, computer, subject, name, state, message)
       values (:at, :computer, :subject, :name, :state, :message)`,
      { ...report, message: report.message.slice(-messageKept) },
    )
    this.#run(
      `delete from report where seq in (select seq from report
         where computer = :computer and subject = :subject and name = :name
         order by seq desc limit -1 offset ${reportsKept})`,
      { computer, subject, name },
    )
  }

  /** All reports that are kept, oldest first. */
  reports() {
    return this.#all(decoders.report, "select * from report order by seq")
  }

  /** The newest report of a computer, whatever it is about. */
  newestReport(computer: string) {
    const sql = "select * from report where computer = :computer order by seq desc limit 1"
    return this.#one(decoders.report, sql, { computer })
  }

  /** The newest report about the subject's state: bangs are pleas and no states. */
  lastReport(computer: string, subject: ReportRow["subject"], name: string) {
    const bang: ReportState = "bang"
    return this.#one(
      decoders.report,
      `select * from report where computer = :computer and subject = :subject and name = :name and state <> :bang
       order by seq desc limit 1`,
      { computer, subject, name, bang },
    )
  }
}
