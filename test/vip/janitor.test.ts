import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { Janitor } from '../../src/vip/janitor.ts'
import { brokenDown, type FakeRequest, startFakeApiServer } from '../support/fake-api-server.ts'
import { claim, service } from '../support/objects.ts'

const address = '240.240.0.7'
const path = `/apis/networking.k8s.io/v1/ipaddresses/${address}`
const serviceNamed = '/api/v1/namespaces/shop/services/orders'

/** A janitor that is told of these claims, and waits for so long. */
const start = async (t: Test, grace: number, orphaned: readonly string[] = [address]) => {
  const server = await startFakeApiServer(t)
  const collected: string[] = []
  const errors: string[] = []
  const clock = { now: 0 }
  const janitor = new Janitor({
    client: server.client,
    orphanedClaims: () => orphaned,
    onCollected: (what, { namespace, name }) => collected.push(`${what} ${namespace}/${name}`),
    onError: (error) => errors.push((error as Error).message),
    times: { interval: 1, grace },
    now: () => clock.now,
  })
  const stop = new AbortController()
  const run = () => {
    const running = janitor.run(stop.signal)
    t.teardown(async () => {
      stop.abort()
      await running
    })
  }
  /** Until so many requests for this were made. */
  const asked = async (count: number, what: string) => {
    while (server.log.filter((line) => line === what).length < count) await sleep(1)
  }
  return { server, collected, errors, clock, run, asked }
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
  while (collected.length === 0) await sleep(1)
  t.strictSame(server.claims, {})
  t.strictSame(collected, [`${address} shop/orders`])
})

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
  const { server, collected, errors, run } = await start(t, 0, ['240.240.0.6', address])
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
    orphanedClaims: () => [address],
    onCollected: () => {},
    onError: (error) => errors.push(error),
  })
  await janitor.run(stop.signal)
  t.strictSame(errors, [])
})
