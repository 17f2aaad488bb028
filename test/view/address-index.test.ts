import fc from 'fast-check'
import t from 'tap'
import { type Block, parseAddress } from '../../src/api/address.ts'
import { parseIPAddress } from '../../src/api/ip-address.ts'
import { parseService } from '../../src/api/service.ts'
import { parseServiceEntry } from '../../src/api/service-entry.ts'
import { type AddressHolder, AddressIndex } from '../../src/view/address-index.ts'
import { claim, service, serviceEntry } from '../support/objects.ts'

const asService = (name: string, externalIPs: string[]): AddressHolder => ({
  kind: 'Service',
  object: parseService(service(name, { externalIPs })),
})

const asEntry = (name: string, addresses: string[]): AddressHolder => ({
  kind: 'ServiceEntry',
  object: parseServiceEntry(serviceEntry(name, addresses)),
})

const asClaim = (address: string, name: string): AddressHolder => ({
  kind: 'IPAddress',
  object: parseIPAddress(claim(address, `shop/${name}`)),
})

const keyOf = ({ kind, object }: AddressHolder) => `${kind} ${object.name}`

const addressesOf = ({ kind, object }: AddressHolder): string[] =>
  kind === 'IPAddress' ? [object.name] : kind === 'Service' ? [...object.externalIPs] : [...object.addresses]

const blockAround = (address: string, bits: number): Block => {
  const { family, value } = parseAddress(address) as { family: 4 | 6; value: bigint }
  return { family, first: (value >> BigInt(bits)) << BigInt(bits), bits }
}

const sameBlock = (a: Block, b: Block) => a.family === b.family && a.first === b.first

const address = fc.constantFrom('10.0.0.1', '10.0.0.2', '10.0.1.1', '10.1.0.1', 'fd00::1', 'fd00::101', 'nonsense')
const addresses = fc.array(address, { maxLength: 4 })
const name = fc.constantFrom('a', 'b', 'c')
const holder = fc.oneof(
  fc.tuple(name, addresses).map(([name, list]) => asService(name, list)),
  fc.tuple(name, addresses).map(([name, list]) => asEntry(name, list)),
  fc.tuple(address, name).map(([one, name]) => asClaim(one, name)),
)
const change = fc.record({ operation: fc.constantFrom('put', 'delete'), holder })

t.test('whatever comes, changes and goes, the index says what a look at all of it says', async () => {
  fc.assert(
    fc.property(fc.array(change, { maxLength: 40 }), (changes) => {
      const index = new AddressIndex()
      const all = new Map<string, AddressHolder>()
      for (const { operation, holder } of changes) {
        const before = all.get(keyOf(holder))
        if (operation === 'put') {
          index.replace(before, holder)
          all.set(keyOf(holder), holder)
        } else {
          index.replace(before, undefined)
          all.delete(keyOf(holder))
        }
        const held = new Set([...all.values()].flatMap(addressesOf))
        for (const one of ['10.0.0.1', '10.0.0.2', '10.0.1.1', '10.1.0.1', 'fd00::1', 'fd00::101', 'nonsense']) {
          const expected = [...all.values()].filter((other) => addressesOf(other).includes(one)).map(keyOf)
          if (`${index.holders(one).map(keyOf).sort()}` !== `${expected.sort()}`) return false
          if (one === 'nonsense') continue
          for (const bits of [4, 8, 12, 16]) {
            const block = blockAround(one, bits)
            const within = [...held].filter(
              (other) => other !== 'nonsense' && sameBlock(blockAround(other, bits), block),
            )
            if (index.heldWithin(block) !== within.length) return false
          }
        }
        if (`${[...index.entries()].map(([one]) => one).sort()}` !== `${[...held].sort()}`) return false
      }
      return true
    }),
  )
})

t.test('claims come first, then Services, then ServiceEntries', async (t) => {
  const index = new AddressIndex()
  for (const one of [asEntry('a', ['10.0.0.1']), asService('b', ['10.0.0.1']), asClaim('10.0.0.1', 'c')])
    index.replace(undefined, one)
  t.strictSame(index.holders('10.0.0.1').map(keyOf), ['IPAddress 10.0.0.1', 'Service b', 'ServiceEntry a'])
})
