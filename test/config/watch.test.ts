import { rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { watchPolicy } from '../../src/config/watch.ts'

t.test(
  'a configuration is loaded anew when its text changes, and the one in force stays while it is wrong',
  async (t) => {
    const file = join(t.testdir({ 'meshvip.yaml': 'clusterDomain: a' }), 'meshvip.yaml')
    const told: string[] = []
    let next = Promise.withResolvers<string>()
    const tell = (what: string) => {
      told.push(what)
      next.resolve(what)
    }
    const after = async (change: () => Promise<void>) => {
      next = Promise.withResolvers()
      await change()
      return next.promise
    }
    const stop = new AbortController()
    const watching = watchPolicy({
      file,
      text: 'clusterDomain: a',
      interval: 5,
      signal: stop.signal,
      onPolicy: async ({ clusterDomain }) => {
        if (clusterDomain === 'unusable') throw new Error('unusable')
        tell(clusterDomain)
      },
      onError: (error) => tell(String(error)),
    })

    t.equal(await after(() => writeFile(file, 'clusterDomain: b')), 'b')
    t.equal(
      await after(async () => {
        await writeFile(`${file}.new`, 'clusterDomain: c')
        await rename(`${file}.new`, file)
      }),
      'c',
      'also when it is another file of that name',
    )
    t.match(await after(() => writeFile(file, 'pools: []')), /^ConfigurationError: .*meshvip\.yaml:1:8: pools: /)
    t.equal(
      await after(() => writeFile(file, 'clusterDomain: unusable')),
      'Error: unusable',
      'as whoever uses it finds',
    )
    t.match(await after(() => rm(file)), /meshvip\.yaml is gone, or cannot be read$/)
    t.equal(await after(() => writeFile(file, 'clusterDomain: d')), 'd')
    stop.abort()
    await watching
    t.equal(told.length, 6, 'and each text is told of once')
  },
)
