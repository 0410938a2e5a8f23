// Whom a helper can become. Pure.
import type { Credentials } from "../../process/privileges.ts"

/** Whether somebody can be mapped into a namespace in which nobody is root. */
export const isOrdinary = ({
  gid,
  groups,
  uid,
}: {
  uid: number
  gid: number
  groups?: ReadonlyArray<number>
}): boolean => uid !== 0 && gid !== 0 && groups?.includes(0) !== true

/** Of those that can be mapped, each once. */
export const uniqueUsers = (users: ReadonlyArray<Credentials | undefined>): ReadonlyArray<Credentials> => [
  ...new Map(users.flatMap((user) => (user === undefined || !isOrdinary(user) ? [] : [[user.uid, user]]))).values(),
]

/** As many of them, the first one always, as can be held. */
export const largestOf = <A>(all: ReadonlyArray<A>, canHold: (some: ReadonlyArray<A>) => boolean): ReadonlyArray<A> => {
  let some = all
  while (some.length > 1 && !canHold(some)) some = some.slice(0, Math.ceil(some.length / 2))
  return some
}
