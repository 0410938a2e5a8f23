// The values a SLAP document can hold (slap-protocol.md, The marshalled XML). Lists are arrays and dictionaries are
// Maps; values are never changed after they were made, so parts of a document may be shared.

/** The only classes a document may hold, each with the number of its constructor arguments. */
export const slapClasses = { Computer: 1, ComputerPartition: 3, SoftwareRelease: 2, SoftwareInstance: 0 } as const
export type SlapClassName = keyof typeof slapClasses
export const slapModule = "slapos.slap.slap"

export type SlapValue =
  | string
  | boolean
  /** An int or a long: exact. */
  | bigint
  /** A float. */
  | number
  /** None. */
  | null
  /** A list. */
  | ReadonlyArray<SlapValue>
  | SlapTuple
  | SlapSet
  | SlapObject
  /** A dictionary. */
  | ReadonlyMap<SlapValue, SlapValue>

export class SlapTuple {
  readonly _tag = "SlapTuple"
  readonly items: ReadonlyArray<SlapValue>
  constructor(items: ReadonlyArray<SlapValue>) {
    this.items = items
  }
}

export class SlapSet {
  readonly _tag = "SlapSet"
  readonly items: ReadonlyArray<SlapValue>
  constructor(items: ReadonlyArray<SlapValue>) {
    this.items = items
  }
}

export class SlapObject {
  readonly _tag = "SlapObject"
  readonly className: SlapClassName
  readonly args: ReadonlyArray<SlapValue>
  readonly attributes: ReadonlyMap<string, SlapValue>
  /** What is wrong with it, when only a part of it could be read. */
  readonly fault: string | undefined
  constructor(
    className: SlapClassName,
    args: ReadonlyArray<SlapValue>,
    attributes: ReadonlyMap<string, SlapValue>,
    fault?: string,
  ) {
    this.className = className
    this.args = args
    this.attributes = attributes
    this.fault = fault
  }
}
