import { execFile, spawnSync } from 'node:child_process'
import { promisify } from 'node:util'
import t from 'tap'
import { completionScripts } from '../src/completion.ts'
import { runHere } from './support/command-line.ts'

const run = promisify(execFile)

const skipWithout = (shell: string): { skip?: string } =>
  spawnSync(shell, ['--version']).error === undefined ? {} : { skip: `there is no ${shell}` }

const scriptOf = async (shell: string): Promise<string> => {
  const { code, out, err } = await runHere('completion', shell)
  t.strictSame({ code, err }, { code: 0, err: '' })
  return out
}

/** What was typed, the last word being the one to complete, and what of it is offered. */
const stories: [typed: string[], offered: string[]][] = [
  [['v'], ['vips']],
  [['--v'], ['--version']],
  [['vips', '--k'], ['--kubeconfig']],
  [['check', '--k'], ['--kubeconfig']],
  [
    ['check', '--fail-on', ''],
    ['deny', 'warn'],
  ],
  [['check', 'a.yaml', '--fail-on', 'w'], ['warn']],
  [
    ['vips', '-o', ''],
    ['json', 'table', 'wide', 'yaml'],
  ],
  [
    ['vips', '--state', 'o'],
    ['orphaned', 'outside'],
  ],
  [
    ['completion', ''],
    ['bash', 'fish', 'zsh'],
  ],
  [['serve', '--drain', ''], []],
  [['serve', '--st'], ['--standalone']],
]

/** What bash offers for its own list of words. */
const offeredByBash = async (script: string, words: readonly string[]): Promise<string[]> => {
  const ask = `${script}\nCOMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _meshvip; printf '%s\\n' "\${COMPREPLY[@]}"`
  const { stdout } = await run('bash', ['-c', ask, 'bash', 'meshvip', ...words])
  return stdout.split('\n').filter(Boolean).sort()
}

t.test('bash completes commands, options and their choices', async (t) => {
  const script = await scriptOf('bash')
  for (const [words, offered] of stories)
    t.strictSame(await offeredByBash(script, words), offered, JSON.stringify(words))
  // As bash takes --state=o apart.
  t.strictSame(
    await offeredByBash(script, ['vips', '--state', '=']),
    await offeredByBash(script, ['vips', '--state', '']),
  )
  t.strictSame(await offeredByBash(script, ['vips', '--state', '=', 'o']), ['orphaned', 'outside'])
})

t.test('zsh completes by the script of bash', skipWithout('zsh'), async (t) => {
  const script = await scriptOf('zsh')
  t.equal(script.slice(script.indexOf('\n') + 1), await scriptOf('bash'))
  // Its line editor alone can complete: here it is asked whether it knows for whom it would.
  const { stdout } = await run('zsh', ['-f', '-c', `${script}\nprint -r -- $_comps[meshvip]`])
  t.match(stdout, '_bash_complete -o default -F _meshvip')
})

t.test('fish completes commands, options and their choices', skipWithout('fish'), async (t) => {
  const script = await scriptOf('fish')
  for (const [words, offered] of stories) {
    const typed = ['meshvip', ...words].join(' ')
    const { stdout } = await run('fish', ['--no-config', '-c', `${script}\ncomplete --do-complete $argv`, typed])
    const lines = stdout.split('\n').filter(Boolean)
    t.strictSame(lines.map((line) => line.split('\t')[0]).sort(), offered, typed)
  }
})

t.test('a shell that it knows no script for is told which there are', async (t) => {
  const { code, err } = await runHere('completion', 'csh')
  t.equal(code, 2)
  t.match(err, `Allowed choices are ${Object.keys(completionScripts).join(', ')}.`)
})
