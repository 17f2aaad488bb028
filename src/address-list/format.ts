import { stringify } from 'yaml'
import { formatName, sameName } from '../api/metadata.ts'
import { printable } from '../rules/message.ts'
import type { AddressEntry, AddressList, PoolEntry } from './address-list.ts'
import { states } from './states.ts'

/** As kubectl tells ages in its narrowest columns: apimachinery pkg/util/duration/duration.go, ShortHumanDuration. */
const units: readonly (readonly [seconds: number, unit: string])[] = [
  [365 * 86_400, 'y'],
  [86_400, 'd'],
  [3_600, 'h'],
  [60, 'm'],
]

export const shortAge = (milliseconds: number): string => {
  if (Number.isNaN(milliseconds)) return '<invalid>'
  // A clock that is a little ahead is no news.
  const seconds = Math.max(Math.trunc(milliseconds / 1000), 0)
  const [length, unit] = units.find(([length]) => seconds >= length) ?? [1, 's']
  return `${Math.trunc(seconds / length)}${unit}`
}

/** A count in digits as long as they can be read at a glance, and else such as 1.2e24. */
export const shortCount = (digits: string): string =>
  digits.length <= 9 ? digits : Number(digits).toExponential(1).replace('+', '')

/** What there is nothing to say of; kubectl writes the same. */
const none = '<none>'

/** Columns as wide as what is in them. Names and addresses may come from manifests, and a terminal obeys what is not printable. */
const table = (rows: readonly (readonly string[])[]): string => {
  const shown = rows.map((row) => row.map(printable))
  const widths: number[] = []
  for (const row of shown) {
    for (const [column, { length }] of row.entries()) widths[column] = Math.max(widths[column] ?? 0, length)
  }
  const line = (row: readonly string[]) => row.map((cell, column) => cell.padEnd(widths[column] as number)).join('   ')
  return shown.map((row) => `${line(row).trimEnd()}\n`).join('')
}

const poolRow = ({ cidr, size, used, free, reserved }: PoolEntry): string[] => [
  cidr,
  shortCount(size),
  String(used),
  shortCount(free),
  shortCount(reserved),
]

/** Who has it; where nobody has, who it is claimed for. */
const ownersOf = ({ services, others, claim }: AddressEntry): string => {
  const owners = [...services.map(formatName), ...others]
  const claimed = claim?.service === undefined ? [] : [formatName(claim.service)]
  return (owners.length > 0 ? owners : claimed).join(', ')
}

/** What to do, where there is anything to do, and of a duplicate who keeps it. */
const noteOf = ({ state, services, claim }: AddressEntry): string => {
  if (state === 'held') return none
  const owner = claim?.service
  const keeps = owner !== undefined && services.some((service) => sameName(service, owner))
  return `${keeps ? `Service ${formatName(owner)} has the claim; ` : ''}${states[state].remedy}`
}

type Column = { header: string; cell(entry: AddressEntry, now: Date): string }

const columns: readonly Column[] = [
  { header: 'ADDRESS', cell: ({ address }) => address },
  { header: 'POOL', cell: ({ pool = none }) => pool },
  { header: 'OWNER', cell: ownersOf },
  {
    header: 'AGE',
    cell: ({ claim }, now) =>
      claim?.claimedAt === undefined ? none : shortAge(now.getTime() - Date.parse(claim.claimedAt)),
  },
  { header: 'STATE', cell: ({ state }) => state },
]

const wideColumns: readonly Column[] = [
  ...columns,
  { header: 'CLAIMED', cell: ({ claim }) => claim?.claimedAt ?? none },
  { header: 'CLAIMED FOR', cell: ({ claim }) => claim?.parent ?? none },
  { header: 'NOTE', cell: noteOf },
]

const tables =
  (shown: readonly Column[]) =>
  ({ pools, addresses }: AddressList, now: Date): string => {
    const ofPools = table([['POOL', 'SIZE', 'USED', 'FREE', 'RESERVED'], ...pools.map(poolRow)])
    if (addresses.length === 0) return `${ofPools}\nNo addresses found.\n`
    const rows = addresses.map((entry) => shown.map(({ cell }) => cell(entry, now)))
    return `${ofPools}\n${table([shown.map(({ header }) => header), ...rows])}`
  }

/** How the list can be written. */
export const formats = {
  table: tables(columns),
  wide: tables(wideColumns),
  json: (list: AddressList): string => `${JSON.stringify(list, undefined, 2)}\n`,
  yaml: (list: AddressList): string => stringify(list),
} satisfies Record<string, (list: AddressList, now: Date) => string>

export type Format = keyof typeof formats
