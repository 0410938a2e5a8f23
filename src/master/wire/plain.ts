// SLAP values as the language's own, for those who do not care what was a list and what was a tuple.
import type { Parameters, ParameterValue } from "../MasterTools.ts"
import { pythonStr } from "./pythonText.ts"
import { SlapObject, SlapSet, SlapTuple, type SlapValue } from "./SlapValue.ts"

/** Keys become texts, and an object, which no parameter is, becomes null. Parts that were shared stay so. */
export const plainRecord = (dictionary: ReadonlyMap<SlapValue, SlapValue>): Parameters =>
  record(dictionary, new Map<object, ParameterValue>())

type Done = Map<object, ParameterValue>

const record = (dictionary: ReadonlyMap<SlapValue, SlapValue>, done: Done): Parameters =>
  Object.fromEntries([...dictionary].map(([key, item]) => [pythonStr(key), plain(item, done)]))

const plain = (value: SlapValue, done: Done): ParameterValue => {
  if (value === null || typeof value !== "object") return value
  const made = done.get(value) ?? container(value, done)
  done.set(value, made)
  return made
}

const container = (value: Exclude<Extract<SlapValue, object>, null>, done: Done): ParameterValue => {
  if (value instanceof SlapObject) return null
  if (value instanceof SlapTuple || value instanceof SlapSet) return value.items.map((item) => plain(item, done))
  return isList(value) ? value.map((item) => plain(item, done)) : record(value, done)
}

const isList = (value: object): value is ReadonlyArray<SlapValue> => Array.isArray(value)
