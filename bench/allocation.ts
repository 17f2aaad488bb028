/**
 * What it takes to choose an address, by how full the pool is: `npm run bench:allocation`. Beside it a scan that looks at one
 * address after the other from the lowest on, by the same index. In process, without the claim, which is a request to the API server.
 */
import { availableParallelism } from 'node:os'
import { memoryBackend } from '../src/admission/backend.ts'
import { formatAddress } from '../src/api/address.ts'
import { parseServiceEntry } from '../src/api/service-entry.ts'
import { ObjectStore } from '../src/view/object-store.ts'
import { allocate } from '../src/vip/allocator.ts'
import { otherHolder } from '../src/vip/holders.ts'
import type { Pool } from '../src/vip/pool.ts'
import { candidateAddresses, createPool } from '../src/vip/pools.ts'
import { print, summarize, table, target } from './statistics.ts'

const names = 2_000
const warmUp = 500

/** Milliseconds. */
const limit = 0.5

/** What is used is what those who came first were given, so that the upper half is full before the lower half is begun. */
const filled = (pool: Pool, used: number): ObjectStore => {
  const store = new ObjectStore({ clusterDomain: 'cluster.local', unlistedNamespacesSelected: true })
  const taken = new Set<string>()
  for (let owner = 0; taken.size < used; owner++) {
    const own = candidateAddresses(
      [pool],
      `shop/service-${owner}`,
      (block) => store.heldWithin(block).addresses >= 2 ** block.bits,
    )
    const address = own.find((one) => !taken.has(one)) as string
    taken.add(address)
    const metadata = { namespace: 'shop', name: `service-${owner}` }
    store.put({ kind: 'ServiceEntry', object: parseServiceEntry({ metadata, spec: { addresses: [address] } }) })
  }
  return store
}

const scan = (pool: Pool, service: { namespace: string; name: string }, store: ObjectStore): string | undefined => {
  for (let value = pool.first + 1n; value < pool.last; value++) {
    const address = formatAddress({ family: pool.family, value })
    if (otherHolder(address, service, [pool], store) === undefined) return address
  }
  return undefined
}

print(`Node ${process.versions.node}, ${availableParallelism()} CPUs, ${process.platform}/${process.arch}\n`)
const rows: string[][] = []
const verdicts: string[] = []
for (const [cidr, used] of [
  ['240.240.0.0/16', 0],
  ['240.240.0.0/16', 32_000],
  ['240.240.0.0/16', 65_000],
  ['240.240.0.0/16', 65_533],
  ['240.0.0.0/4', 65_000],
  ['fd00::/48', 65_000],
] as const) {
  const pool = createPool({ cidr })
  const store = filled(pool, used)
  const allocation = {
    cluster: memoryBackend(store).cluster,
    claims: { claim: async () => true },
    pools: [pool],
    dryRun: true,
    signal: new AbortController().signal,
  }
  const [chosen, scanned]: [number[], number[]] = [[], []]
  for (let index = 0; index < warmUp + names; index++) {
    const service = { namespace: 'other', name: `new-${index}` }
    const started = performance.now()
    const address = await allocate(service, pool.family, [], allocation)
    const taken = performance.now() - started
    if (address === undefined || otherHolder(address, service, [pool], store) !== undefined)
      throw new Error(`${address} is not free in ${cidr}`)
    if (index >= warmUp) chosen.push(taken)
    // It takes so long that a few times tell enough.
    if (index % 50 !== 0) continue
    const began = performance.now()
    scan(pool, service, store)
    scanned.push(performance.now() - began)
  }
  const [own, naive] = [summarize(chosen), summarize(scanned)]
  const shown = (value: number) => value.toFixed(4)
  rows.push([cidr, String(used), shown(own.p50), shown(own.p99), shown(own.max), shown(naive.p50), shown(naive.p99)])
  verdicts.push(target(`${cidr} with ${used} used: p99`, own.p99, limit, ' ms'))
}
print(table(['milliseconds to choose', 'used', 'p50', 'p99', 'max', 'scan p50', 'p99'], rows))
print('')
for (const verdict of verdicts) print(verdict)
