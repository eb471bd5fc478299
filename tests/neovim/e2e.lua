-- Works through the example project as a person would, and says what it sees. Ends with status 1 at
-- the first thing that is not as expected.

-- Long enough for a machine that is busy with something else; nothing waits for its own sake.
local PATIENCE = 20000

local project = vim.uv.fs_realpath(vim.env.LAYERWISE_PROJECT)
local started = vim.uv.hrtime()

local function say(text)
  io.stdout:write(('%7.0f ms  %s\n'):format((vim.uv.hrtime() - started) / 1e6, text))
end

local function fail(text)
  say('FAILED: ' .. text)
  vim.cmd('cquit 1')
end

-- Each file in a window of its own: Neovim asks for the diagnostics of the files that are seen.
local function open(path)
  vim.cmd.split(vim.fn.fnameescape(project .. '/' .. path))
  return vim.api.nvim_get_current_buf()
end

local function text_of(buffer)
  return table.concat(vim.api.nvim_buf_get_lines(buffer, 0, -1, true), '\n') .. '\n'
end

local function show(buffer)
  vim.api.nvim_set_current_win(vim.fn.bufwinid(buffer))
end

local function name_of(buffer)
  return vim.api.nvim_buf_get_name(buffer):sub(#project + 2)
end

-- Rules found in a buffer: name to diagnostics.
local function found(buffer)
  local rules = {}
  for _, it in ipairs(vim.diagnostic.get(buffer)) do
    rules[it.code] = rules[it.code] or {}
    table.insert(rules[it.code], it)
  end
  return rules
end

local function names(rules)
  local res = vim.tbl_keys(rules)
  table.sort(res)
  return #res == 0 and 'nothing' or table.concat(res, ', ')
end

-- Waits until the condition holds; it is looked at again whenever Neovim has handled an event.
local function await(what, condition)
  if vim.wait(PATIENCE, condition, 10) then
    say(what)
  else
    local seen = {}
    for _, client in ipairs(vim.lsp.get_clients()) do
      table.insert(seen, client.name)
    end
    for _, buffer in ipairs(vim.api.nvim_list_bufs()) do
      table.insert(seen, ('%s: %s'):format(name_of(buffer), names(found(buffer))))
    end
    fail(('waited in vain: %s\n  there is: %s'):format(what, table.concat(seen, '\n            ')))
  end
end

local function await_rules(buffer, present, absent)
  local what = ('%s: %s'):format(name_of(buffer), table.concat(present, ', '))
  if #absent > 0 then
    what = what .. (#present > 0 and '; ' or '') .. 'no ' .. table.concat(absent, ', ')
  end
  await(what, function()
    local rules = found(buffer)
    local all = vim.iter(present):all(function(it)
      return rules[it] ~= nil
    end)
    local none = vim.iter(absent):all(function(it)
      return rules[it] == nil
    end)
    return all and none
  end)
end

local function equal(what, actual, expected)
  if actual == expected then
    say(what)
  else
    fail(('%s\n--- expected\n%s\n--- there is\n%s'):format(what, tostring(expected), tostring(actual)))
  end
end

local function go_to(buffer, needle)
  show(buffer)
  vim.api.nvim_win_set_cursor(0, { 1, 0 })
  if vim.fn.search('\\V' .. vim.fn.escape(needle, '\\'), 'cW') == 0 then
    fail(('%s has no `%s`'):format(name_of(buffer), needle))
  end
end

-- Puts the cursor on the text and applies the one code action that the filter lets through.
local function act(buffer, needle, options)
  show(buffer)
  if needle then
    go_to(buffer, needle)
  end
  local before = vim.api.nvim_buf_get_changedtick(buffer)
  local title
  vim.lsp.buf.code_action({
    apply = true,
    context = { only = options.only, diagnostics = needle and vim.lsp.diagnostic.from(vim.diagnostic.get(buffer, { lnum = vim.fn.line('.') - 1 })) },
    filter = function(it)
      local fits = options.title == nil or it.title:find(options.title) ~= nil
      if fits then
        title = it.title
      end
      return fits
    end,
  })
  await('applied a code action', function()
    return vim.api.nvim_buf_get_changedtick(buffer) ~= before
  end)
  say(('  it was: %s'):format(title or 'the only one'))
end

local function replace(buffer, old, new)
  local text = text_of(buffer)
  local first, last = text:find(old, 1, true)
  if not first then
    fail(('%s has no `%s`'):format(name_of(buffer), old))
  end
  local _, row = text:sub(1, first - 1):gsub('\n', '')
  local column = first - 1 - #text:sub(1, first - 1):gsub('[^\n]*$', '')
  vim.api.nvim_buf_set_text(buffer, row, column, row, column + last - first + 1, vim.split(new, '\n', { plain = true }))
end

local function read(path)
  local file = assert(io.open(path, 'rb'))
  local text = file:read('*a')
  file:close()
  return text
end

local function write(path, text)
  local file = assert(io.open(path, 'wb'))
  file:write(text)
  file:close()
end

-- Runs the example of the README that has a text.
local function do_as_told(needle)
  for code in read('editors/neovim/README.md'):gmatch('```lua\n(.-)```') do
    if code:find(needle, 1, true) then
      return assert(loadstring(code))()
    end
  end
  fail(('README.md has no example with `%s`'):format(needle))
end

local function restore(buffer)
  local text = read(vim.api.nvim_buf_get_name(buffer))
  vim.api.nvim_buf_set_lines(buffer, 0, -1, true, vim.split((text:gsub('\n$', '')), '\n', { plain = true }))
  return text
end

-- What the files of the example are after all safe moves, and after all safe fixes.
local REORDERED = read('tests/editors/expected/Dockerfile')
local SITE_REPAIRED = read('tests/editors/expected/web/Dockerfile')

local ORDER = { 'copy-before-install', 'copy-before-system-packages' }

-- The help, and the colours of our own grammar, as the help says.
local function runtime_files()
  vim.cmd.helptags('ALL')
  vim.cmd.help('layerwise-treesitter')
  equal('the help is there', vim.fn.expand('%:t'), 'layerwise.txt')
  vim.cmd.helpclose()

  equal('our grammar is loaded', vim.treesitter.language.add('dockerfile'), true)
  for _, kind in ipairs({ 'highlights', 'injections' }) do
    local files = vim.treesitter.query.get_files('dockerfile', kind)
    equal(('our %s are used'):format(kind), #files == 1 and vim.startswith(files[1], vim.env.LAYERWISE_RUNTIME), true)
    equal('and fit the grammar', vim.treesitter.query.get('dockerfile', kind) ~= nil, true)
  end
end

-- The captures at the beginning of a text, by name.
local function colours(buffer, needle)
  go_to(buffer, needle)
  local row, column = unpack(vim.api.nvim_win_get_cursor(0))
  return vim.iter(vim.treesitter.get_captures_at_pos(buffer, row - 1, column)):map(function(it)
    return it.capture
  end):join(' ')
end

-- A workspace that takes so long to read that people are told, and a bake file in it.
local function large_workspace()
  local folder = project .. '-large'
  vim.fn.mkdir(folder .. '/.github/workflows', 'p')
  local steps = ('      - name: make\n        run: make ${{ github.ref }}\n'):rep(300)
  for number = 1, 200 do
    write(('%s/.github/workflows/%d.yml'):format(folder, number), 'on: push\njobs:\n  all:\n    runs-on: ubuntu-latest\n    steps:\n' .. steps)
  end
  write(folder .. '/docker-bake.hcl', 'target "default" {\n  cache-to = ["type=gha,mode=max"]\n}\n')

  local told = {}
  vim.api.nvim_create_autocmd('LspProgress', {
    callback = function(event)
      table.insert(told, event.data.params.value.kind)
    end,
  })
  vim.cmd.split(vim.fn.fnameescape(folder .. '/docker-bake.hcl'))
  local bake = vim.api.nvim_get_current_buf()
  await('Neovim is told when reading begins and when it ends', function()
    return vim.deep_equal(told, { 'begin', 'end' })
  end)
  await_rules(bake, { 'cache-export-without-import' }, {})
  return vim.lsp.get_clients({ bufnr = bake })[1]
end

local function main()
  -- A script is run without them.
  vim.cmd.filetype('on')
  vim.opt.runtimepath:prepend(vim.env.LAYERWISE_RUNTIME)
  say(('Neovim %s'):format(tostring(vim.version())))
  runtime_files()

  -- Findings of both languages.
  local api = open('Dockerfile')
  equal('the file type is dockerfile', vim.bo[api].filetype, 'dockerfile')
  await_rules(api, { 'copy-before-install', 'copy-before-system-packages', 'floating-base-image' }, {})
  local site_workflow = open('.github/workflows/site.yml')
  await_rules(site_workflow, { 'workflow-named-cache-scope', 'min-cache-mode' }, {})
  local stack_workflow = open('.github/workflows/stack.yml')
  await_rules(stack_workflow, { 'compose-file-as-dockerfile', 'comment-in-block-scalar' }, {})
  equal('one server for all of them', #vim.lsp.get_clients({ name = 'layerwise' }), 1)

  -- Other YAML is none of our business.
  local other = vim.api.nvim_create_buf(true, false)
  vim.api.nvim_buf_set_name(other, project .. '/values.yaml')
  vim.bo[other].filetype = 'yaml'
  equal('other YAML files are left alone', #vim.lsp.get_clients({ bufnr = other }), 0)

  vim.treesitter.start(api, 'dockerfile')
  vim.treesitter.get_parser(api):parse(true)
  equal('keywords have their colour', colours(api, 'COPY ./app /app'), 'keyword')
  equal('and so have base images', colours(api, 'ubuntu:latest'), 'type')

  -- What is said of a finding, in a window of its own.
  go_to(api, 'COPY ./app /app')
  vim.lsp.buf.hover()
  local window
  await('a hover with the summary of the rule', function()
    window = vim.iter(vim.api.nvim_list_wins()):find(function(it)
      return vim.api.nvim_win_get_config(it).relative ~= ''
    end)
    return window ~= nil and text_of(vim.api.nvim_win_get_buf(window)):find('Dependencies are installed after the sources are copied', 1, true) ~= nil
  end)
  vim.api.nvim_win_close(window, true)

  -- The reordering.
  act(api, 'COPY ./app /app', { title = '^Reorder stage' })
  equal('the Dockerfile is in the order of the cache', text_of(api), REORDERED)
  await_rules(api, { 'floating-base-image' }, ORDER)
  show(api)
  vim.cmd('silent undo')
  await_rules(api, ORDER, {})

  -- The same by quick fixes, one after the other.
  act(api, 'COPY ./app /app', { only = { 'quickfix' }, title = '^Install the system packages first' })
  await_rules(api, { 'copy-before-install' }, { 'copy-before-system-packages' })
  act(api, 'COPY ./app /app', { only = { 'quickfix' }, title = '^Install from the manifests first' })
  equal('two quick fixes do what the reordering does', text_of(api), REORDERED)
  await_rules(api, {}, ORDER)

  -- What an unsaved workflow passes shows in the open Dockerfile.
  local site = open('web/Dockerfile')
  await_rules(site, { 'volatile-arg-before-run', 'copy-before-install' }, {})
  replace(site_workflow, '${{ github.sha }}', '1.4.0')
  await_rules(site, { 'copy-before-install' }, { 'volatile-arg-before-run' })
  await_rules(site_workflow, { 'min-cache-mode' }, { 'volatile-arg-before-run' })
  replace(site_workflow, 'APP_VERSION=1.4.0', 'APP_VERSION=${{ github.sha }}')
  await_rules(site, { 'volatile-arg-before-run' }, {})
  await_rules(site_workflow, { 'volatile-arg-before-run' }, {})

  -- Characters of two UTF-16 units and four bytes, in the line and in a line above it.
  replace(site, 'ARG APP_VERSION=dev', '# 📦🧭 built from\nARG ICON=🚀 APP_VERSION=dev')
  await('the finding stands behind the emoji', function()
    local it = (found(site)['volatile-arg-before-run'] or {})[1]
    local line = it and vim.api.nvim_buf_get_lines(site, it.lnum, it.lnum + 1, false)[1]
    return it ~= nil and it.lnum == 2 and it.col == #'ARG ICON=🚀 ' and line:sub(it.col + 1, it.end_col) == 'APP_VERSION=dev'
  end)
  restore(site)
  await('the finding is back at its place', function()
    local it = (found(site)['volatile-arg-before-run'] or {})[1]
    return it ~= nil and it.lnum == 1 and it.col == #'ARG '
  end)

  -- Line ends of two characters.
  write(project .. '/web/other.Dockerfile', 'FROM alpine:3.20\r\nARG ICON=🚀 GIT_SHA\r\nRUN apk add git\r\nRUN echo $GIT_SHA\r\n')
  local other_site = open('web/other.Dockerfile')
  equal('a file whose lines end in CRLF', vim.bo[other_site].fileformat, 'dos')
  await('has its finding in its place', function()
    local it = (found(other_site)['volatile-arg-before-run'] or {})[1]
    return it ~= nil and it.lnum == 1 and it.col == #'ARG ICON=🚀 ' and it.end_col == #'ARG ICON=🚀 GIT_SHA'
  end)
  act(other_site, 'ARG ICON', { title = '^Reorder stage' })
  vim.cmd('silent write')
  local expected = 'FROM alpine:3.20\r\nRUN apk add git\r\nARG ICON=🚀 GIT_SHA\r\nRUN echo $GIT_SHA\r\n'
  equal('and keeps them when it is reordered', read(vim.api.nvim_buf_get_name(other_site)), expected)
  vim.cmd.close()

  -- The names of rules, in a comment that suppresses.
  local client = vim.lsp.get_clients({ name = 'layerwise' })[1]
  vim.api.nvim_buf_set_lines(site, 1, 1, true, { '# layerwise: ignore[' })
  local here = { textDocument = { uri = vim.uri_from_bufnr(site) }, position = { line = 1, character = 20 } }
  local completed = assert(client:request_sync('textDocument/completion', here, PATIENCE, site)).result
  equal('the rule that is found below is completed first', completed[1] and vim.iter(completed):fold(completed[1], function(first, it)
    return it.sortText < first.sortText and it or first
  end).label, 'volatile-arg-before-run')
  restore(site)

  -- All safe fixes of a file at once, when it is saved.
  do_as_told('BufWritePre')
  show(site)
  vim.cmd('silent write')
  equal('saving repairs the file on disk', read(vim.api.nvim_buf_get_name(site)), SITE_REPAIRED)
  await_rules(site, {}, { 'copy-before-install', 'volatile-arg-before-run' })
  await_rules(site_workflow, {}, { 'volatile-arg-before-run' })
  act(site_workflow, nil, { only = { 'source.fixAll.layerwise' } })
  await_rules(site_workflow, {}, { 'workflow-named-cache-scope', 'min-cache-mode' })

  restore(site_workflow)
  await_rules(site_workflow, { 'workflow-named-cache-scope', 'min-cache-mode' }, {})

  -- A key that is only half typed does not hide what else is in the file. The server is asked for its
  -- hover: of a report that is as the last, Neovim 0.12 tells nobody.
  vim.api.nvim_buf_set_lines(site_workflow, -1, -1, true, { '          no-ca' })
  local place = { textDocument = { uri = vim.uri_from_bufnr(site_workflow) }, position = { line = 28, character = 30 } }
  local answer = assert(client:request_sync('textDocument/hover', place, PATIENCE, site_workflow))
  for _, rule in ipairs({ 'workflow-named-cache-scope', 'min-cache-mode' }) do
    equal(('%s is found above a half-typed line'):format(rule), answer.result.contents.value:find(rule, 1, true) ~= nil, true)
  end

  restore(site_workflow)

  -- A rule that is switched off while the server runs.
  client.settings = { layerwise = { rules = { ['min-cache-mode'] = 'off' } } }
  client:notify('workspace/didChangeConfiguration', { settings = client.settings })
  await_rules(site_workflow, { 'workflow-named-cache-scope' }, { 'min-cache-mode' })
  client.settings = { layerwise = vim.empty_dict() }
  client:notify('workspace/didChangeConfiguration', { settings = client.settings })
  await_rules(site_workflow, { 'workflow-named-cache-scope', 'min-cache-mode' }, {})
  equal('by the same server', vim.lsp.get_clients({ name = 'layerwise' })[1].id, client.id)

  -- A server that is killed; Neovim starts it again for a file that is opened again.
  for _, process in ipairs(vim.api.nvim_get_proc_children(vim.fn.getpid())) do
    vim.uv.kill(process, 'sigkill')
  end
  await('the server is gone', function()
    return #vim.lsp.get_clients({ name = 'layerwise' }) == 0
  end)
  show(site_workflow)
  vim.cmd('edit!')
  await_rules(site_workflow, { 'workflow-named-cache-scope', 'min-cache-mode' }, {})
  client = vim.lsp.get_clients({ name = 'layerwise' })[1]

  -- Servers end when they are asked to.
  local other_client = large_workspace()
  client:stop()
  other_client:stop()
  await('the servers stopped by themselves', function()
    return client:is_stopped() and other_client:is_stopped()
  end)
end

local ok, problem = xpcall(main, debug.traceback)
if not ok then
  fail(problem)
end
say('all as expected')
vim.cmd('qall!')
