import t from 'tap'
import { type Claims, IPAddressClaims, MemoryClaims } from '../../src/vip/claims.ts'
import { storeOf } from '../support/backends.ts'
import { alreadyExists, brokenDown, type FakeRequest, startFakeApiServer } from '../support/fake-api-server.ts'
import { claim } from '../support/objects.ts'

const orders = { namespace: 'shop', name: 'orders' }
const address = '240.240.0.7'
const path = `/apis/networking.k8s.io/v1/ipaddresses/${address}`

const asking = (claims: Claims, dryRun = false) =>
  claims.claim(address, orders, { dryRun, signal: AbortSignal.timeout(10_000) })

/** A claim by something that is no Service, such as a Gateway. */
const forGateway = {
  ...claim(address, 'shop/orders'),
  spec: { parentRef: { group: 'gateway.networking.k8s.io', resource: 'gateways', namespace: 'shop', name: 'orders' } },
}

const others: [what: string, holder: ReturnType<typeof claim>][] = [
  ['another Service', claim(address, 'shop/carts')],
  ['the Service of that name in another namespace', claim(address, 'store/orders')],
  ['something of that name that is no Service', forGateway],
  ['another controller, for another Service', claim(address, 'shop/carts', {})],
]

t.test('in memory', async (t) => {
  t.test('a free address is claimed, and a dry run leaves no trace', async (t) => {
    const store = storeOf()
    const claims = new MemoryClaims(store)
    t.equal(await asking(claims, true), true)
    t.equal(store.claim(address), undefined)
    t.equal(await asking(claims), true)
    t.match(store.claim(address), { kind: 'IPAddress', service: orders, text: 'Service shop/orders' })
    t.equal(await asking(claims), true, 'again')
    t.equal(await asking(claims, true), true, 'again, in a dry run')
  })
  for (const [what, holder] of others) {
    t.test(`an address that is held by ${what} cannot be had`, async (t) => {
      const claims = new MemoryClaims(storeOf(holder))
      t.strictSame([await asking(claims), await asking(claims, true)], [false, false])
    })
  }
})

t.test('as IPAddress objects', async (t) => {
  const server = await startFakeApiServer(t)
  const claims = new IPAddressClaims(server.client)
  t.beforeEach(() => server.clear())

  /** Counts requests of a method, and gives what `reply` makes of the count. */
  const counting = (
    method: string,
    reply: (count: number, request: FakeRequest) => ReturnType<typeof server.intercept>,
  ) => {
    let count = 0
    server.intercept = (request) => (request.method === method ? reply(++count, request) : undefined)
  }

  t.test('a free address is claimed by one request', async (t) => {
    t.equal(await asking(claims), true)
    t.strictSame(server.log, ['POST /apis/networking.k8s.io/v1/ipaddresses'])
    t.strictSame(server.requests[0]?.body, {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'IPAddress',
      metadata: {
        name: '240.240.0.7',
        labels: { 'ipaddress.kubernetes.io/managed-by': 'meshvip.dev', 'ipaddress.kubernetes.io/ip-family': 'IPv4' },
      },
      spec: { parentRef: { group: '', resource: 'services', namespace: 'shop', name: 'orders' } },
    })
    t.strictSame(server.claims, { [address]: 'shop/orders' })
  })

  t.test('a dry run says the same and leaves nothing behind', async (t) => {
    t.equal(await asking(claims, true), true)
    t.equal(server.requests[0]?.query.get('dryRun'), 'All')
    t.strictSame(server.claims, {})
  })

  for (const [what, holder] of others) {
    t.test(`an address that is held by ${what} cannot be had`, async (t) => {
      server.put(holder)
      const before = server.get(path)
      t.strictSame([await asking(claims), await asking(claims, true)], [false, false])
      t.strictSame(server.get(path), before, 'and the claim is as it was')
    })
  }

  t.test('a claim of its own is touched, so that its resourceVersion moves and no more', async (t) => {
    server.put(claim(address, 'shop/orders'))
    t.equal(await asking(claims), true)
    const touched = server.get(path)?.metadata as { annotations: Record<string, string> } | undefined
    const at = Date.parse(touched?.annotations['meshvip.dev/claimed-at'] ?? '')
    t.ok(Math.abs(Date.now() - at) < 60_000, 'at this time')
    const original = claim(address, 'shop/orders')
    t.strictSame(server.get(path), {
      ...original,
      metadata: { ...original.metadata, uid: 'uid-1', annotations: touched?.annotations, resourceVersion: '2' },
    })
  })

  t.test('a claim of its own that somebody made by hand is ours from then on', async (t) => {
    for (const [labels, expected] of [
      [{}, 'meshvip.dev'],
      [{ 'ipaddress.kubernetes.io/managed-by': 'somebody' }, 'somebody'],
    ] as const) {
      server.put(claim(address, 'shop/orders', labels))
      t.equal(await asking(claims), true)
      t.match(server.get(path)?.metadata, { labels: { 'ipaddress.kubernetes.io/managed-by': expected } })
    }
  })

  t.test('so is one that was touched at this very time', async (t) => {
    const now = new Date()
    class StoppedDate extends Date {
      constructor(value: number | string | Date = now) {
        super(value)
      }
    }
    t.intercept(globalThis, 'Date', { value: StoppedDate })
    server.put(claim(address, 'shop/orders'))
    const versions: unknown[] = []
    for (let touch = 0; touch < 3; touch++) {
      await asking(claims)
      versions.push(server.get(path)?.metadata.resourceVersion)
    }
    t.strictSame(versions, ['2', '3', '4'])
  })

  t.test('so is one that was released, and is released no more', async (t) => {
    const released = claim(address, 'shop/orders')
    server.put({ ...released, metadata: { ...released.metadata, annotations: { 'meshvip.dev/released': 'true' } } })
    t.equal(await asking(claims), true)
    const { annotations = {} } = server.get(path)?.metadata ?? {}
    t.strictSame(Object.keys(annotations as object), ['meshvip.dev/claimed-at'])
  })

  t.test('a dry run does not touch a claim of its own', async (t) => {
    server.put(claim(address, 'shop/orders'))
    t.equal(await asking(claims, true), true)
    t.equal(server.get(path)?.metadata.resourceVersion, '1')
  })

  t.test('a claim that is collected before it is touched is posted anew', async (t) => {
    server.put(claim(address, 'shop/orders'))
    counting('PATCH', () => {
      server.delete(path)
      return undefined
    })
    t.equal(await asking(claims), true)
    t.strictSame(
      server.requests.map(({ method }) => method),
      ['POST', 'GET', 'PATCH', 'POST'],
    )
    t.strictSame(server.claims, { [address]: 'shop/orders' })
  })

  t.test('a claim that is collected before it is looked at is posted anew', async (t) => {
    counting('POST', (count) => (count === 1 ? alreadyExists : undefined))
    t.equal(await asking(claims), true)
    t.strictSame(
      server.requests.map(({ method }) => method),
      ['POST', 'GET', 'POST'],
    )
  })

  t.test('a claim that another makes meanwhile is lost', async (t) => {
    server.put(claim(address, 'shop/orders'))
    counting('PATCH', () => {
      server.delete(path)
      server.put(claim(address, 'shop/carts'))
      return { status: 404, body: {} }
    })
    t.equal(await asking(claims), false)
    t.strictSame(server.claims, { [address]: 'shop/carts' })
  })

  t.test("a claim that is another's by the time it is touched is not had", async (t) => {
    server.put(claim(address, 'shop/orders'))
    let stolen = false
    server.intercept = ({ method }) => {
      if (method === 'PATCH' && !stolen) {
        stolen = true
        server.delete(path)
        server.put(claim(address, 'shop/carts'))
      }
      return undefined
    }
    t.equal(await asking(claims), false)
    t.strictSame(server.claims, { [address]: 'shop/carts' })
  })

  t.test('a claim that is gone as often as it is made is given up after ten attempts', async (t) => {
    counting('POST', () => alreadyExists)
    await t.rejects(asking(claims), {
      isTransient: true,
      message: 'the claim on 240.240.0.7 was deleted or changed as often as it was asked for',
    })
    t.equal(server.log.filter((line) => line.startsWith('POST')).length, 10)
  })

  for (const method of ['POST', 'GET', 'PATCH']) {
    t.test(`an API server that fails at the ${method} gives no answer`, async (t) => {
      server.put(claim(address, 'shop/orders'))
      counting(method, () => brokenDown)
      await t.rejects(asking(claims), { name: 'ApiError', status: 500 })
    })
  }
})
