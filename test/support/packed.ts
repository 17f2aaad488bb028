import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { promisify } from 'node:util'
import type { Test } from 'tap'

const run = promisify(execFile)

export type Ended = { code: number | null; stdout: string; stderr: string }

/** A folder far from this repository, with the package installed in it as a user would from the registry. */
export type Installed = {
  folder: string
  /** What is in the tarball. */
  files: string[]
  /** Runs a command in it. */
  run(command: string, args: readonly string[], options?: { env?: Record<string, string> }): Promise<Ended>
}

/** Makes the package, packs it, and installs the tarball; gone when the test ends. */
export const installPackage = async (t: Test): Promise<Installed> => {
  const top = await mkdtemp(join(tmpdir(), 'meshvip-package-'))
  t.teardown(() => rm(top, { recursive: true, force: true }))
  const folder = join(top, 'user')
  await mkdir(folder)
  await writeFile(join(folder, 'package.json'), '{}')
  const env = {
    // The Node that runs the tests comes first, and npm knows nothing but what is here: neither an npm above us nor a user tells it more.
    ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^npm_/i.test(name))),
    npm_config_userconfig: join(top, 'npmrc'),
    npm_config_globalconfig: join(top, 'global-npmrc'),
    PATH: [dirname(process.execPath), process.env.PATH].join(delimiter),
    npm_config_cache: join(top, 'cache'),
    npm_config_offline: 'true',
    npm_config_update_notifier: 'false',
  }
  await run(process.execPath, ['package.ts', join(top, 'package')])
  const packed = await run('npm', ['pack', '--json', '--pack-destination', top], { cwd: join(top, 'package'), env })
  const [{ filename, files }] = JSON.parse(packed.stdout) as [{ filename: string; files: { path: string }[] }]
  await run('npm', ['install', '--no-audit', '--no-fund', join(top, filename)], { cwd: folder, env })
  return {
    folder,
    files: files.map(({ path }) => path),
    run: async (command, args, options) => {
      try {
        const ended = await run(command, args, { cwd: folder, env: { ...env, ...options?.env } })
        return { code: 0, ...ended }
      } catch (error) {
        const { code, stdout, stderr } = error as Ended
        return { code, stdout, stderr }
      }
    },
  }
}
