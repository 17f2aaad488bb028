import { chmod, cp, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { validateAction, validateWorkflow } from '@action-validator/core'
import { Ajv } from 'ajv'
import t from 'tap'
import { parse } from 'yaml'
import packageManifest from '../../package.json' with { type: 'json' }
import { type Ended, installPackage } from '../support/packed.ts'
import { findOrBuildBinaries } from '../testbed/binaries.ts'
import { testOnCluster } from './cluster.ts'

const { folder, run } = await installPackage(t)

/** The code blocks of a language in a section of docs/ci.md. */
const recipes = async (section: string, language: string): Promise<string[]> => {
  const [, body = ''] = (await readFile('docs/ci.md', 'utf8')).split(`\n## ${section}\n`)
  const blocks = (body.split('\n## ')[0] ?? '').matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\`$`, 'gms'))
  return [...blocks].map(([, block = '']) => block)
}

/** What the tools that render manifests would print, for they are not here. */
const tools = join(folder, 'tools')
await mkdir(tools)
for (const tool of ['helm', 'kustomize']) {
  await writeFile(join(tools, tool), '#!/bin/sh\nfor file in deploy/*; do echo ---; cat "$file"; done\n')
  await chmod(join(tools, tool), 0o755)
}

/** Runs a script as CI does, with the manifests of these paths in the folder `deploy`. */
const runScript = async (script: string, manifests: string, variables: Record<string, string> = {}): Promise<Ended> => {
  await rm(join(folder, 'deploy'), { recursive: true, force: true })
  await cp(manifests, join(folder, 'deploy', manifests.endsWith('.yaml') ? 'manifests.yaml' : ''), { recursive: true })
  const env = { ...variables, TOOLS: tools }
  return run('bash', ['--noprofile', '--norc', '-eo', 'pipefail', '-c', `PATH="$TOOLS:$PATH"\n${script}`], { env })
}

const good = 'examples/orders'
const bad = 'examples/mistakes.yaml'

const textOf = (file: string): Promise<string> => readFile(join(folder, file), 'utf8')

t.test('what is written of versions is this version', async (t) => {
  for (const file of ['docs/ci.md', 'action.yml', '.pre-commit-hooks.yaml']) {
    const named = [...(await readFile(file, 'utf8')).matchAll(/meshvip@v?([\d.]+)|rev: v([\d.]+)/g)]
    t.ok(named.length > 0, file)
    for (const [text, ...versions] of named) t.ok(versions.includes(packageManifest.version), `${file}: ${text}`)
  }
})

t.test('where this repository is, it is as its package says', async (t) => {
  const [, place] = /github\.com\/(.+)\.git$/.exec(packageManifest.repository.url) ?? []
  const named = [...(await readFile('docs/ci.md', 'utf8')).matchAll(/[\w-]+\/meshvip\b/g)].map(([text]) => text)
  t.ok(named.length > 0)
  t.strictSame(new Set(named), new Set([place]))
})

t.test('the commands for any CI pass what is good, and fail for what is bad', async (t) => {
  const commands = await recipes('Any CI', 'sh')
  t.equal(commands.length, 4)
  for (const command of commands) {
    t.match(await runScript(command, good), { code: 0, stderr: '' }, command)
    t.match(await runScript(command, bad), { code: 1, stdout: '[service-port-80]', stderr: '' }, command)
  }
  t.match(JSON.parse(await textOf('meshvip.sarif')), { version: '2.1.0' })
  t.match(await textOf('meshvip.xml'), '<testsuites')
})

t.test('the GitHub Action', async (t) => {
  const text = await readFile('action.yml', 'utf8')
  const action = parse(text) as {
    inputs: Record<string, { default?: string }>
    runs: { steps: [{ env: Record<string, string>; run: string }] }
  }
  const [step] = action.runs.steps

  /** Runs its step with these inputs. */
  const runAction = (inputs: Record<string, string>, manifests: string) => {
    const value = (_: string, name: string) => inputs[name] ?? action.inputs[name]?.default ?? ''
    const env = Object.entries(step.env).map(([name, text]) => [
      name,
      text.replace(/\$\{\{ inputs\.(.*?) \}\}/g, value),
    ])
    return runScript(step.run, manifests, Object.fromEntries(env))
  }

  await t.test('is one, and so is the workflow that uses it', async (t) => {
    t.strictSame(validateAction(text).errors, [])
    t.not(validateAction(text.replace('shell: bash', 'shall: bash')).errors.length, 0)
    const [workflow = ''] = await recipes('GitHub Actions', 'yaml')
    t.strictSame(validateWorkflow(workflow).errors, [])
    t.not(validateWorkflow(workflow.replace('runs-on', 'runs-in')).errors.length, 0)
    const { jobs } = parse(workflow) as { jobs: { meshvip: { steps: { uses: string; with?: object }[] } } }
    const { with: inputs = {} } = jobs.meshvip.steps.find(({ uses }) => uses.includes('/meshvip@')) ?? {}
    t.not(Object.keys(inputs).length, 0)
    for (const name of Object.keys(inputs)) t.ok(Object.hasOwn(action.inputs, name), `it has an input ${name}`)
  })

  await t.test('marks what is wrong at its line, and fails', async (t) => {
    t.match(await runAction({ paths: 'deploy' }, good), { code: 0, stderr: '' })
    const { code, stdout } = await runAction({ paths: 'deploy\n' }, bad)
    t.equal(code, 1)
    t.match(stdout, /^::error file=deploy\/manifests\.yaml,line=10,/m)
  })

  await t.test('takes several paths, with spaces in them, and runs nothing that stands in them', async (t) => {
    await cp(bad, join(folder, 'more manifests', 'bad.yaml'))
    const { code, stdout } = await runAction({ paths: 'deploy\nmore manifests\n' }, good)
    t.equal(code, 1)
    t.match(stdout, 'file=more manifests/bad.yaml,')
    t.match(await runAction({ paths: '$(touch owned); touch owned\n`touch owned`' }, good), { code: 2 })
    t.notOk((await readdir(folder)).includes('owned'))
  })

  await t.test('does what its other inputs say', async (t) => {
    await writeFile(join(folder, 'meshvip.yaml'), 'rules: { service-port-80: warn, service-port-name: warn }\n')
    const configured = { paths: 'deploy', config: 'meshvip.yaml' }
    t.match(await runAction(configured, bad), { code: 0, stdout: '::warning ' })
    t.match(await runAction({ ...configured, 'fail-on': 'warn' }, bad), { code: 1 })
    const alone = 'examples/orders/virtual-host.yaml'
    t.match(await runAction({ paths: 'deploy', complete: 'false' }, alone), { code: 0 })
    t.match(await runAction({ paths: 'deploy', complete: 'true', sarif: 'of action.sarif' }, alone), { code: 1 })
    t.match(JSON.parse(await textOf('of action.sarif')), { version: '2.1.0' })
  })
})

t.test('the job of GitLab CI is one, and leaves the report that it names', async (t) => {
  const [text = ''] = await recipes('GitLab CI', 'yaml')
  const isValid = async (pipeline: string) => {
    await writeFile(join(folder, '.gitlab-ci.yml'), pipeline)
    const { code, stderr } = await run(join(process.cwd(), 'node_modules/.bin/gitlab-ci-local'), ['--list'])
    t.match(stderr, code === 0 ? 'json schema validated' : 'Invalid .gitlab-ci.yml configuration')
    return code === 0
  }
  t.match(await run('git', ['init', '--quiet']), { code: 0 })
  t.ok(await isValid(text))
  t.notOk(await isValid(text.replace('when: always', 'when: sometimes')))
  const { meshvip } = parse(text) as { meshvip: { script: string[]; artifacts: { reports: { junit: string } } } }
  const report = meshvip.artifacts.reports.junit
  for (const [manifests, code] of [[good, 0] as const, [bad, 1] as const]) {
    await rm(join(folder, report), { force: true })
    t.match(await runScript(meshvip.script.join('\n'), manifests), { code })
    t.match(await textOf(report), '<testsuites')
  }
})

/** What we use of pre-commit's formats; their schemas are in no package. */
const isHook = new Ajv().compile({
  type: 'object',
  required: ['id', 'name', 'entry', 'language'],
  additionalProperties: false,
  properties: {
    id: { type: 'string' },
    name: { type: 'string' },
    description: { type: 'string' },
    entry: { type: 'string' },
    language: { enum: ['node', 'system'] },
    types: { type: 'array', items: { enum: ['yaml'] } },
    require_serial: { type: 'boolean' },
  },
})

t.test('the hook of pre-commit checks the files of a commit', async (t) => {
  const [hook, ...others] = parse(await readFile('.pre-commit-hooks.yaml', 'utf8')) as [{ id: string; entry: string }]
  t.strictSame(others, [])
  t.ok(isHook(hook), JSON.stringify(isHook.errors))
  const [text = ''] = await recipes('pre-commit', 'yaml')
  const { repos } = parse(text) as { repos: [{ hooks: [{ id: string; files: string; exclude: string }] }] }
  const [{ id, files, exclude }] = repos[0].hooks
  t.equal(id, hook.id)
  const committed = ['README.md', 'deploy/manifests.yaml', 'deploy/chart/templates/service.yaml']
  const chosen = committed.filter((file) => new RegExp(files).test(file) && !new RegExp(exclude).test(file))
  t.strictSame(chosen, ['deploy/manifests.yaml'])
  t.match(await runScript(`${hook.entry} ${chosen.join(' ')}`, bad), { code: 1, stdout: '[service-port-80]' })
  t.match(await runScript(`${hook.entry} deploy/virtual-host.yaml`, good), { code: 0, stderr: '' })
})

await testOnCluster('the commands for a cluster with the webhook', async (t, { kubectl, kubeconfig }) => {
  t.match(await kubectl(['apply', '-f', 'examples/orders/destinations.yaml']), { code: 0 })
  const binaries = await findOrBuildBinaries((line) => t.comment(line))
  if ('missing' in binaries) throw new Error(binaries.missing)
  // kubectl keeps what it learned of a server by its port, which another server may have had.
  const variables = { KUBECONFIG: kubeconfig, KUBECACHEDIR: join(folder, 'kubectl-cache') }
  const commands = await recipes('Where the cluster has the webhook', 'sh')
  t.equal(commands.length, 2)
  for (const command of commands) {
    const script = `PATH="${dirname(binaries.kubectl)}:$PATH"\n${command}`
    const ask = (manifests: string) => runScript(script, manifests, variables)
    t.match(await ask(good), { code: 0 }, command)
    const { code, stdout, stderr } = await ask(bad)
    t.equal(code, 1, command)
    t.match(stdout + stderr, '[service-port-80]')
  }
  t.match(
    await kubectl(['get', 'service', '-n', 'shop', 'orders']),
    { code: 1, stderr: 'NotFound' },
    'nothing is stored',
  )
})
