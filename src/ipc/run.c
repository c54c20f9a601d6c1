/* What a runner says and hears. See run.h. Linked into the static runner: no allocation, no library. */
#include "ipc/run.h"

#include <errno.h>

void run_limits_put(const RunLimits *limits, WireWriter *wire)
{
    wire_put_u64(wire, limits->time_limit);
    wire_put_u64(wire, limits->grace);
    wire_put_u64(wire, limits->output_bytes);
    wire_put_u32(wire, limits->output_files);
    wire_put_u16(wire, limits->port);
    wire_put_u8(wire, limits->walls_optional);
}

int run_limits_get(WireReader *wire, RunLimits *ret_limits)
{
    RunLimits limits = {
        .time_limit = wire_get_u64(wire),
        .grace = wire_get_u64(wire),
        .output_bytes = wire_get_u64(wire),
        .output_files = wire_get_u32(wire),
        .port = wire_get_u16(wire),
        .walls_optional = wire_get_bool(wire),
    };
    int r = wire_finish(wire);
    if (!r)
        *ret_limits = limits;
    return r;
}

/* Relative, beneath, and nothing that could end or alter a line: whoever prints it still escapes it. */
static bool is_output_path(Slice path)
{
    if (path.len == 0 || path.ptr[0] == '/' || memchr(path.ptr, '\0', path.len))
        return false;
    for (Slice part, rest = path; rest.len;) {
        if (slice_cut(rest, '/', &part, &rest) && rest.len == 0)
            return false;
        if (part.len == 0 || slice_is(part, ".") || slice_is(part, ".."))
            return false;
    }
    return true;
}

void run_output_put(const RunOutput *output, WireWriter *wire)
{
    wire_put_slice(wire, output->path);
    wire_put_u64(wire, output->size);
}

int run_output_get(WireReader *wire, RunOutput *ret_output)
{
    RunOutput output = {.path = wire_get_slice(wire, RUN_MAX_PATH), .size = wire_get_u64(wire)};
    if (wire_finish(wire) || !is_output_path(output.path))
        return -EBADMSG;
    *ret_output = output;
    return 0;
}

void run_output_refused_put(const RunOutputRefused *refused, WireWriter *wire)
{
    wire_put_slice(wire, refused->path);
    wire_put_slice(wire, refused->reason);
}

int run_output_refused_get(WireReader *wire, RunOutputRefused *ret_refused)
{
    RunOutputRefused refused = {.path = wire_get_slice(wire, RUN_MAX_PATH),
                                .reason = wire_get_slice(wire, 1024)};
    int r = wire_finish(wire);
    if (!r)
        *ret_refused = refused;
    return r;
}

void run_end_put(const RunEnd *end, WireWriter *wire)
{
    wire_put_u32(wire, (uint32_t)end->exit_status);
    wire_put_u32(wire, (uint32_t)end->signal);
    wire_put_u8(wire, end->timed_out);
    wire_put_u8(wire, end->collected_only);
    wire_put_u32(wire, end->outputs);
}

int run_end_get(WireReader *wire, RunEnd *ret_end)
{
    RunEnd end = {.exit_status = (int32_t)wire_get_u32(wire), .signal = (int32_t)wire_get_u32(wire)};
    end.timed_out = wire_get_bool(wire);
    end.collected_only = wire_get_bool(wire);
    end.outputs = wire_get_u32(wire);
    if (wire_finish(wire) || end.exit_status < -1 || end.exit_status > 255 || end.signal < 0 ||
        end.signal > 64)
        return -EBADMSG;
    *ret_end = end;
    return 0;
}

void run_loaded_put(const RunLoaded *loaded, WireWriter *wire)
{
    wire_put_u8(wire, loaded->result);
    wire_put_u64(wire, loaded->rows);
    wire_put_u64(wire, loaded->unchanged);
    wire_put_u64(wire, loaded->dead);
    wire_put_u32(wire, loaded->files);
    wire_put_slice(wire, loaded->sentence);
}

int run_loaded_get(WireReader *wire, RunLoaded *ret_loaded)
{
    RunLoaded loaded = {.result = wire_get_u8(wire)};
    loaded.rows = wire_get_u64(wire);
    loaded.unchanged = wire_get_u64(wire);
    loaded.dead = wire_get_u64(wire);
    loaded.files = wire_get_u32(wire);
    loaded.sentence = wire_get_slice(wire, 1024);
    if (wire_finish(wire) || loaded.result > RUN_LOAD_AGAIN)
        return -EBADMSG;
    *ret_loaded = loaded;
    return 0;
}
