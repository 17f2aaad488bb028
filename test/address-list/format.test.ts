import { Ajv } from 'ajv'
import t from 'tap'
import { parse } from 'yaml'
import { addressList } from '../../src/address-list/address-list.ts'
import { formats, shortAge, shortCount } from '../../src/address-list/format.ts'
import { defaultPolicy } from '../../src/rules/policy.ts'
import { createPool } from '../../src/vip/pools.ts'
import { addressesSeen, addressesStore } from '../fixtures/addresses.ts'
import { claim, meshNamespace, service, serviceEntry, storeOf } from '../support/objects.ts'

const list = addressList(await addressesStore(), defaultPolicy)

t.test('ages are as short as kubectl has them', async (t) => {
  const [second, minute, hour, day] = [1_000, 60_000, 3_600_000, 86_400_000]
  const rows: [milliseconds: number, age: string][] = [
    [-5 * second, '0s'],
    [0, '0s'],
    [59.9 * second, '59s'],
    [minute, '1m'],
    [hour - 1, '59m'],
    [hour, '1h'],
    [day - 1, '23h'],
    [day, '1d'],
    [365 * day - 1, '364d'],
    [365 * day, '1y'],
    [800 * day, '2y'],
    [Number.NaN, '<invalid>'],
  ]
  for (const [milliseconds, age] of rows) t.equal(shortAge(milliseconds), age, String(milliseconds))
})

t.test('counts are exact as long as they are short', async (t) => {
  const rows: [digits: bigint, shown: string][] = [
    [0n, '0'],
    [65_534n, '65534'],
    [999_999_999n, '999999999'],
    [1_000_000_000n, '1.0e9'],
    [2n ** 80n - 2n, '1.2e24'],
    [2n ** 128n, '3.4e38'],
  ]
  for (const [digits, shown] of rows) t.equal(shortCount(String(digits)), shown)
})

t.test('the table', async (t) => {
  t.equal(
    formats.table(list, addressesSeen),
    `POOL             SIZE    USED   FREE    RESERVED
240.240.0.0/16   65534   5      65529   2

ADDRESS           POOL             OWNER                        AGE      STATE
192.0.2.7         <none>           shop/returns                 <none>   outside
240.240.0.1       240.240.0.0/16   ServiceEntry payments/bank   <none>   foreign
240.240.0.9       240.240.0.0/16   shop/stock                   <none>   unclaimed
240.240.0.10      240.240.0.0/16   shop/carts, payments/carts   45m      duplicate
240.240.130.2     240.240.0.0/16   shop/gone                    12d      orphaned
240.240.225.190   240.240.0.0/16   shop/orders                  12d      held
`,
  )
})

t.test('the wide table says more of the claim, and what to do', async (t) => {
  const lines = formats.wide(list, addressesSeen).split('\n').slice(3)
  const row = (address: string) => lines.find((line) => line.startsWith(`${address} `))?.split(/ {3,}/)
  t.match(lines[0], /^ADDRESS +POOL +OWNER +AGE +STATE +CLAIMED +CLAIMED FOR +NOTE$/)
  t.strictSame(row('240.240.225.190')?.slice(3), [
    '12d',
    'held',
    '2026-03-01T09:00:00Z',
    'Service shop/orders',
    '<none>',
  ])
  t.strictSame(row('240.240.0.9')?.slice(3, 7), ['<none>', 'unclaimed', '<none>', '<none>'])
  t.match(row('240.240.0.9')?.[7], /^wait some minutes, in which meshvip claims it/)
  t.match(row('240.240.0.10')?.slice(4, 8), [
    'duplicate',
    '2026-03-13T08:15:00Z',
    'Service shop/carts',
    /^Service shop\/carts has the claim; leave it to one of them/,
  ])
})

t.test('of a duplicate that nobody has a claim to, nobody is said to keep it', async (t) => {
  const own = { externalIPs: ['240.240.0.7'] }
  for (const claims of [[], [claim('240.240.0.7', 'shop/gone')]]) {
    const store = storeOf(service('a', own), service('b', own), ...claims)
    t.match(formats.wide(addressList(store, defaultPolicy), addressesSeen), /duplicate .* {3}leave it to one of them/)
  }
})

t.test('where nobody has an address, it says so', async (t) => {
  for (const format of ['table', 'wide'] as const)
    t.match(formats[format](addressList(storeOf(), defaultPolicy), addressesSeen), /\n\nNo addresses found\.\n$/)
})

t.test('what a terminal would obey is not written to it', async (t) => {
  const store = storeOf(meshNamespace('shop'), service('a', { externalIPs: ['\u001b[31mred'] }))
  t.match(formats.table(addressList(store, defaultPolicy), addressesSeen), '\\u{1b}[31mred')
})

t.test('JSON and YAML are the same object', async (t) => {
  t.strictSame(JSON.parse(formats.json(list)), list)
  t.strictSame(parse(formats.yaml(list)), list)
  t.match(formats.json(list), /\}\n$/)
})

/** What programs rely on. It may get more properties; a change of one that is there breaks them. */
const schema = {
  type: 'object',
  required: ['apiVersion', 'kind', 'pools', 'addresses'],
  properties: {
    apiVersion: { const: 'meshvip.dev/v1' },
    kind: { const: 'AddressList' },
    pools: {
      type: 'array',
      items: {
        type: 'object',
        required: ['cidr', 'size', 'used', 'free', 'reserved'],
        properties: {
          cidr: { type: 'string' },
          size: { $ref: '#/$defs/count' },
          used: { type: 'integer' },
          free: { $ref: '#/$defs/count' },
          reserved: { $ref: '#/$defs/count' },
        },
      },
    },
    addresses: {
      type: 'array',
      items: {
        type: 'object',
        required: ['address', 'state', 'services', 'others'],
        properties: {
          address: { type: 'string' },
          pool: { type: 'string' },
          state: { enum: ['held', 'unclaimed', 'orphaned', 'duplicate', 'foreign', 'outside'] },
          services: { type: 'array', items: { $ref: '#/$defs/name' } },
          others: { type: 'array', items: { type: 'string' } },
          claim: {
            type: 'object',
            required: ['parent'],
            properties: {
              parent: { type: 'string' },
              service: { $ref: '#/$defs/name' },
              claimedAt: { type: 'string' },
            },
          },
        },
      },
    },
  },
  $defs: {
    count: { type: 'string', pattern: '^[0-9]+$' },
    name: {
      type: 'object',
      required: ['namespace', 'name'],
      properties: { namespace: { type: 'string' }, name: { type: 'string' } },
    },
  },
}

t.test('the object keeps its schema, whatever is in it', async (t) => {
  const fits = new Ajv({ strict: true }).compile(schema)
  const pools = [createPool({ cidr: 'fd00::/48' }), createPool({ cidr: '10.9.0.0/30' })]
  const rich = storeOf(
    meshNamespace('shop'),
    service('a', { externalIPs: ['fd00::7', 'nonsense'] }),
    service('b', { externalIPs: ['10.9.0.1'] }),
    serviceEntry('e', ['10.9.0.1', '10.9.0.2']),
    claim('fd00::7', 'shop/a'),
    claim('fd00::8', 'shop/gone'),
  )
  for (const one of [list, addressList(rich, { ...defaultPolicy, pools }), addressList(storeOf(), defaultPolicy)])
    t.ok(fits(JSON.parse(formats.json(one))), JSON.stringify(fits.errors))
  t.notOk(fits({ ...list, pools: [{ ...list.pools[0], size: 65534 }] }), 'a number is no count')
})
