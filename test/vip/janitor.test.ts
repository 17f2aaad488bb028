import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { defaultPolicy } from '../../src/rules/policy.ts'
import { IPAddressClaims } from '../../src/vip/claims.ts'
import { type Grievance, Janitor } from '../../src/vip/janitor.ts'
import { ledger } from '../../src/vip/ledger.ts'
import { brokenDown, type FakeRequest, startFakeApiServer } from '../support/fake-api-server.ts'
import { claim, service, serviceEntry, storeOf } from '../support/objects.ts'

const address = '240.240.0.7'
const path = `/apis/networking.k8s.io/v1/ipaddresses/${address}`
const serviceNamed = '/api/v1/namespaces/shop/services/orders'

/** A janitor that sees these objects, whatever there is, and waits for so long. */
const start = async (t: Test, grace: number, seen: object[] = [claim(address, 'shop/orders')]) => {
  const server = await startFakeApiServer(t)
  const collected: string[] = []
  const adopted: string[] = []
  const looks: (readonly Grievance[])[] = []
  const errors: string[] = []
  const clock = { now: 0 }
  const janitor = new Janitor({
    client: server.client,
    claims: new IPAddressClaims(server.client),
    records: () => ledger(storeOf(...seen), defaultPolicy),
    onCollected: (what, { namespace, name }) => collected.push(`${what} ${namespace}/${name}`),
    onAdopted: (what, { namespace, name }) => adopted.push(`${what} ${namespace}/${name}`),
    onLook: async (grievances) => void looks.push(grievances),
    onError: (error) => errors.push((error as Error).message),
    times: { interval: 1, grace },
    now: () => clock.now,
  })
  const run = () => {
    const stop = new AbortController()
    const running = janitor.run(stop.signal)
    const end = async () => {
      stop.abort()
      await running
    }
    t.teardown(end)
    return end
  }
  /** Until so many requests for this were made. */
  const asked = async (count: number, what: string) => {
    while (server.log.filter((line) => line === what).length < count) await sleep(1)
  }
  return { server, seen, collected, adopted, looks, errors, clock, run, asked }
}

t.test('a claim that nobody needs is deleted after the grace', async (t) => {
  const { server, collected, clock, run, asked } = await start(t, 50)
  server.put(claim(address, 'shop/orders'))
  run()
  await asked(1, `GET ${path}`)
  clock.now = 49
  await asked(4, `GET ${path}`)
  t.strictSame(server.claims, { [address]: 'shop/orders' }, 'not before')
  clock.now = 100
  await asked(1, `PATCH ${path}`)
  const looks = server.log.length
  clock.now = 149
  await asked(looks + 3, `GET ${path}`)
  t.match(server.get(path)?.metadata, { annotations: { 'meshvip.dev/released': 'true' } }, 'it is released')
  t.strictSame(collected, [], 'and stays for another')
  clock.now = 200
  while (collected.length === 0) await sleep(1)
  t.strictSame(server.claims, {})
  t.strictSame(collected, [`${address} shop/orders`])
})

t.test('so does one that is touched after it was released', async (t) => {
  const { server, collected, clock, run, asked } = await start(t, 50)
  server.put(claim(address, 'shop/orders'))
  run()
  // The second look comes after the first has noted when it was.
  await asked(2, `GET ${path}`)
  clock.now = 100
  await asked(1, `PATCH ${path}`)
  server.put(claim(address, 'shop/orders'))
  const looks = server.log.filter((line) => line === `GET ${path}`).length
  await asked(looks + 2, `GET ${path}`)
  clock.now = 200
  await asked(2, `PATCH ${path}`)
  t.strictSame(collected, [], 'it is released anew')
})

t.test(
  'a claim that was released stays, too, where a Service that lists the address was stored meanwhile',
  async (t) => {
    const { server, collected, run, asked } = await start(t, 0)
    server.put(claim(address, 'shop/orders'))
    server.intercept = ({ method }: FakeRequest) => {
      if (method === 'PATCH') server.put(service('orders', { externalIPs: [address] }))
      return undefined
    }
    run()
    await asked(3, `GET ${serviceNamed}`)
    t.strictSame([server.claims, collected], [{ [address]: 'shop/orders' }, []])
  },
)

t.test('so is that of a Service which lists another address', async (t) => {
  const { server, collected, run } = await start(t, 0)
  server.put(claim(address, 'shop/orders'), service('orders', { externalIPs: ['240.240.0.8'] }))
  run()
  while (collected.length === 0) await sleep(1)
  t.strictSame(server.claims, {})
})

t.test('a claim stays', async (t) => {
  t.test('while its Service lists the address, whatever was seen of it', async (t) => {
    const { server, collected, run, asked } = await start(t, 0)
    server.put(claim(address, 'shop/orders'), service('orders', { externalIPs: [address] }))
    run()
    await asked(3, `GET ${serviceNamed}`)
    t.strictSame([server.claims, collected], [{ [address]: 'shop/orders' }, []])
  })

  t.test('as long as it is touched', async (t) => {
    const { server, clock, run, asked } = await start(t, 5)
    server.put(claim(address, 'shop/orders'))
    server.intercept = () => {
      clock.now += 3
      server.put(claim(address, 'shop/orders'))
      return undefined
    }
    run()
    await asked(10, `GET ${path}`)
    t.strictSame(server.claims, { [address]: 'shop/orders' })
  })

  t.test('where it is touched between the last look and the deletion', async (t) => {
    const { server, collected, errors, run, asked } = await start(t, 0)
    server.put(claim(address, 'shop/orders'))
    server.intercept = ({ method }: FakeRequest) => {
      if (method === 'DELETE') server.put(claim(address, 'shop/orders'))
      return undefined
    }
    run()
    await asked(3, `DELETE ${path}`)
    t.strictSame([server.claims, collected, errors], [{ [address]: 'shop/orders' }, [], []])
  })

  const others: [what: string, object: ReturnType<typeof claim>][] = [
    ['where it is none of ours', claim(address, 'shop/orders', {})],
    [
      'where it is for something that is no Service',
      {
        ...claim(address, 'shop/orders'),
        spec: { parentRef: { group: 'a', resource: 'b', namespace: 'c', name: 'd' } },
      },
    ],
  ]
  for (const [what, object] of others) {
    t.test(what, async (t) => {
      const { server, run, asked } = await start(t, 0)
      server.put(object)
      run()
      await asked(3, `GET ${path}`)
      t.ok(server.get(path))
      t.notOk(server.log.some((line) => line.startsWith('DELETE')))
    })
  }
})

t.test('a claim that is gone already is no concern', async (t) => {
  const { collected, errors, run, asked } = await start(t, 0)
  run()
  await asked(2, `GET ${path}`)
  t.strictSame([collected, errors], [[], []])
})

t.test('what fails is told, holds up no other claim, and is tried again', async (t) => {
  const { server, collected, errors, run } = await start(t, 0, [
    claim('240.240.0.6', 'shop/carts'),
    claim(address, 'shop/orders'),
  ])
  server.put(claim('240.240.0.6', 'shop/carts'), claim(address, 'shop/orders'))
  server.intercept = ({ path }) => (path.endsWith('/240.240.0.6') && errors.length < 2 ? brokenDown : undefined)
  run()
  while (collected.length < 2) await sleep(1)
  t.strictSame(collected, [`${address} shop/orders`, '240.240.0.6 shop/carts'])
  t.match(errors, [/ 500 /, / 500 /])
})

t.test('an end while it is at work is no error', async (t) => {
  const server = await startFakeApiServer(t)
  server.put(claim(address, 'shop/orders'))
  const stop = new AbortController()
  server.intercept = () => {
    stop.abort()
    return undefined
  }
  const errors: unknown[] = []
  const janitor = new Janitor({
    client: server.client,
    claims: new IPAddressClaims(server.client),
    records: () => ledger(storeOf(claim(address, 'shop/orders')), defaultPolicy),
    onCollected: () => {},
    onAdopted: () => {},
    onError: (error) => errors.push(error),
  })
  await janitor.run(stop.signal)
  t.strictSame(errors, [])
})

t.test('the address of a Service that has no claim is claimed for it', async (t) => {
  const orders = service('orders', { externalIPs: [address] })
  t.test('once', async (t) => {
    const { server, seen, adopted, run, looks } = await start(t, 0, [orders])
    server.put(orders)
    run()
    while (adopted.length === 0) await sleep(1)
    t.strictSame(server.claims, { [address]: 'shop/orders' })
    seen.push(claim(address, 'shop/orders'))
    const before = looks.length
    while (looks.length < before + 3) await sleep(1)
    t.strictSame(adopted, [`${address} shop/orders`])
  })

  t.test('for the oldest of several, which keeps everybody else from getting it', async (t) => {
    const later = service('later', { externalIPs: [address] }, { creationTimestamp: '2026-02-01T00:00:00Z' })
    const older = service('older', { externalIPs: [address] }, { creationTimestamp: '2026-01-01T00:00:00Z' })
    const { server, adopted, run, looks } = await start(t, 0, [later, older])
    server.put(later, older)
    run()
    while (adopted.length === 0) await sleep(1)
    t.strictSame(adopted, [`${address} shop/older`])
    t.match(looks[0], [{ address, state: 'duplicate', services: [{ name: 'later' }, { name: 'older' }] }])
  })

  t.test('unless it is gone by now, or lists another', async (t) => {
    for (const present of [undefined, service('orders', { externalIPs: ['240.240.0.8'] })]) {
      const { server, adopted, run, looks } = await start(t, 0, [orders])
      if (present !== undefined) server.put(present)
      run()
      while (looks.length < 3) await sleep(1)
      t.strictSame([server.claims, adopted], [{}, []])
    }
  })

  t.test('unless another was faster', async (t) => {
    const { server, adopted, errors, run, looks } = await start(t, 0, [orders])
    server.put(orders, claim(address, 'shop/carts'))
    run()
    while (looks.length < 3) await sleep(1)
    t.strictSame([server.claims, adopted, errors], [{ [address]: 'shop/carts' }, [], []])
  })

  t.test('and after the claim of another that does not list it has been collected', async (t) => {
    const { server, seen, collected, run } = await start(t, 0, [orders, claim(address, 'shop/gone')])
    server.put(orders, claim(address, 'shop/gone'))
    run()
    while (collected.length === 0) await sleep(1)
    seen.pop()
    while (server.claims[address] !== 'shop/orders') await sleep(1)
    t.strictSame(collected, [`${address} shop/gone`])
  })
})

t.test('at each look it says what is wrong, and changes nothing of it', async (t) => {
  const orders = service('orders', { externalIPs: [address] })
  const outside = service('outside', { externalIPs: ['203.0.113.7'] })
  const objects = [orders, claim(address, 'shop/orders'), serviceEntry('pay', [address]), outside]
  const { server, run, looks } = await start(t, 0, objects)
  server.put(...objects)
  run()
  while (looks.length < 2) await sleep(1)
  for (const grievances of looks.slice(0, 2))
    t.match(grievances, [
      { address, state: 'duplicate', services: [{ name: 'orders' }], others: ['ServiceEntry shop/pay'] },
      { address: '203.0.113.7', state: 'outside', services: [{ name: 'outside' }] },
    ])
  t.notOk(server.log.some((line) => !line.startsWith('GET')))
})

t.test('while nobody can tell who has which addresses, nothing is done', async (t) => {
  const server = await startFakeApiServer(t)
  const stop = new AbortController()
  let looks = 0
  const records = () => {
    if (++looks === 3) stop.abort()
    return undefined
  }
  const unexpected = () => t.fail('something was done')
  const times = { interval: 1, grace: 0 }
  await new Janitor({
    client: server.client,
    claims: new IPAddressClaims(server.client),
    records,
    onCollected: unexpected,
    onAdopted: unexpected,
    onError: unexpected,
    times,
  }).run(stop.signal)
  t.strictSame(server.log, [])
})

t.test('what was seen orphaned in an earlier term does not count', async (t) => {
  const { server, collected, clock, run, asked } = await start(t, 50)
  server.put(claim(address, 'shop/orders'))
  const end = run()
  await asked(2, `GET ${path}`)
  await end()
  clock.now = 1_000
  run()
  const before = server.log.length
  await asked(before + 3, `GET ${path}`)
  t.strictSame(collected, [])
})
