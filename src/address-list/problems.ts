import { printable } from '../rules/message.ts'
import type { AddressState } from '../vip/ledger.ts'
import type { AddressEntry, AddressList } from './address-list.ts'
import { stateNames, states } from './states.ts'

/** What an address is judged by beside its entry. */
export type Circumstances = {
  now: Date
  /** Whether claims can be seen at all. Manifests are what people write, and hold none: then all addresses are without. */
  showsClaims: boolean
}

/**
 * Milliseconds after which an orphaned claim is wrong. A janitor takes about five minutes at most. When the Service went nothing says:
 * all that is known is when the address was last claimed, so that one whose Service went just now counts, too, if it was old.
 */
const orphanedFor = 600_000

const isWrong = ({ state, claim }: AddressEntry, { now, showsClaims }: Circumstances): boolean => {
  switch (state) {
    case 'held':
    case 'foreign':
      return false
    case 'unclaimed':
      return showsClaims
    case 'orphaned':
      return now.getTime() - Date.parse(claim?.claimedAt ?? '') > orphanedFor
    case 'duplicate':
    case 'outside':
      return true
  }
}

/** How many addresses a line names. */
const maxNamed = 3

const problemOf = (state: AddressState, entries: readonly AddressEntry[]): string[] => {
  if (entries.length === 0) return []
  const { meaning, remedy } = states[state]
  const named = entries.slice(0, maxNamed).map(({ address }) => printable(address))
  const some = [...named, ...(entries.length > maxNamed ? ['...'] : [])].join(', ')
  const count = entries.length === 1 ? '1 address is' : `${entries.length} addresses are`
  return [`${count} ${state} (${some}): ${meaning}. Fix: ${remedy}`]
}

/** All that is wrong, one line a kind: what, and what to do. */
export const problemsOf = ({ pools, addresses }: AddressList, circumstances: Circumstances): string[] => {
  const wrong = Map.groupBy(
    addresses.filter((entry) => isWrong(entry, circumstances)),
    ({ state }) => state,
  )
  const full = pools.filter(({ free }) => free === '0')
  return [
    ...stateNames.flatMap((state) => problemOf(state, wrong.get(state) ?? [])),
    ...full.map(
      ({ cidr }) =>
        `the pool ${cidr} is full: no Service can be given an address of it. Fix: add a pool to the configuration (pools), or delete what is not needed`,
    ),
  ]
}
